# A NixOS-like system without nixpkgs: one derivation with what deployments look at.
#
#   units    unit files by name; those with an [Install] section are wanted by multi-user.target
#   kernel   a system with another kernel needs a reboot
#   files    more files under /etc, by path
#   extra    shell text that the build runs at its end ($out is the system; programs by absolute path)
{ name, version ? "25.05.1", units ? { }, kernel ? "6.12.1", files ? { }, extra ? "" }:
let
  escape = text: "'${builtins.replaceStrings [ "'" ] [ "'\\''" ] text}'";
  put = folder: file: text: ''
    /bin/mkdir -p "$(/usr/bin/dirname $out/etc/${folder}${file})"
    printf %s ${escape text} > $out/etc/${folder}${file}
  '';
  each = f: set: builtins.concatStringsSep "" (builtins.map (key: f key set.${key}) (builtins.attrNames set));
  wanted = unit: text:
    if builtins.match ".*\\[Install].*" text == null then ""
    else "/bin/ln -s ../${unit} $out/etc/systemd/system/multi-user.target.wants/${unit}\n";
in
derivation {
  name = "nixos-system-${name}-${version}";
  system = "x86_64-linux";
  builder = "/bin/sh";
  args = [
    "-euc"
    ''
      /bin/mkdir -p $out/bin $out/sw/bin $out/etc/systemd/system/multi-user.target.wants
      printf %s ${escape version} > $out/nixos-version
      printf %s x86_64-linux > $out/system
      /bin/ln -s ${builtins.toFile "linux-${kernel}" kernel} $out/kernel
      /bin/ln -s ${builtins.toFile "initrd-linux-${kernel}" kernel} $out/initrd
      /bin/ln -s ${builtins.toFile "linux-${kernel}-modules" kernel} $out/kernel-modules
      printf %s loglevel=4 > $out/kernel-params
      printf 'systemd 257\n' > $out/init-interface-version
      printf 'NAME=NixOS\nVERSION=%s\n' ${escape version} > $out/etc/os-release
      for script in activate init switch-to-configuration; do
          to=$out/$script
          [ $script != switch-to-configuration ] || to=$out/bin/$script
          /bin/sed "s|@out@|$out|g" "$scripts/$script" > $to
          /bin/chmod 755 $to
      done
      ${each (put "systemd/system/") units}
      ${each wanted units}
      ${each (put "") files}
      ${extra}
    ''
  ];
  scripts = ./scripts;
}
