# The folder in which the shell blocks of the documentation run: a repository with the platform's configuration and secrets.
# Sourced by sh, in an empty folder.
cat > ops.yaml <<'YAML'
default_host: ops-jrz1
hosts:
  ops-jrz1:         {ssh: root@ops-jrz1, flake: ".#ops-jrz1"}
  ops-jrz1-staging: {ssh: root@ops-jrz1, flake: ".#ops-jrz1-staging", groups: [staging]}
YAML
mkdir -p secrets backups
ops-secrets keygen -o key.txt 2> /dev/null
SOPS_AGE_KEY_FILE=$PWD/key.txt
export SOPS_AGE_KEY_FILE
recipient=$(sed -n 's/^# public key: //p' key.txt)
printf 'creation_rules:\n  - path_regex: secrets/.*\n    age: %s\n' "$recipient" > .sops.yaml
printf 'matrix:\n    registration_token: made-up\nslack_token: xoxb-made-up\n' > secrets/secrets.yaml
ops-secrets encrypt -i secrets/secrets.yaml
