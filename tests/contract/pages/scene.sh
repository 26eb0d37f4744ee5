# The folder in which the shell blocks of the documentation run: a repository with the platform's configuration, its systems
# and its secrets. Sourced by sh, in an empty folder; LAB_NIXOS is where the lab's systems are described.
cat > ops.yaml <<'YAML'
default_host: ops-jrz1
hosts:
  ops-jrz1:         {ssh: root@ops-jrz1, flake: ".#ops-jrz1"}
  ops-jrz1-staging: {ssh: root@ops-jrz1, flake: ".#ops-jrz1-staging", groups: [staging]}
deploy: {health_window: 1s, health: ["ops-matrix versions --json"]}
YAML
cp -r "$LAB_NIXOS/system.nix" "$LAB_NIXOS/scripts" .
cat > flake.nix <<'NIX'
{
  outputs = { self }: {
    nixosConfigurations = builtins.mapAttrs
      (name: version: { config.system.build.toplevel = import ./system.nix { inherit name version; }; })
      { ops-jrz1 = "25.05.2"; ops-jrz1-staging = "25.05.3"; };
  };
}
NIX
mkdir -p secrets backups
ops-secrets keygen -o key.txt > /dev/null 2>&1
SOPS_AGE_KEY_FILE=$PWD/key.txt
export SOPS_AGE_KEY_FILE
recipient=$(sed -n 's/^# public key: //p' key.txt)
printf 'creation_rules:\n  - path_regex: secrets/.*\n    age: %s\n' "$recipient" > .sops.yaml
printf 'matrix:\n    registration_token: made-up\nslack_token: xoxb-made-up\n' > secrets/secrets.yaml
ops-secrets encrypt -i secrets/secrets.yaml
printf 'key.txt\nbackups\n' > .gitignore
git init -q . && git add -A && git -c user.name=op -c user.email=op@chat.example commit -qm 'the platform'
