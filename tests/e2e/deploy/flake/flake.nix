# Systems for the tests, without nixpkgs: what `systems.json` describes, in the form of a NixOS system.
{
  outputs = _: {
    nixosConfigurations = builtins.mapAttrs (
      name: spec:
      let
        package = full: derivation {
          name = full;
          system = spec.platform;
          builder = "/bin/sh";
          args = [ "-c" "echo ${full} > $out" ];
        };
        unit = file: "${file}=${builtins.toFile (builtins.replaceStrings [ "@" ] [ "-" ] file) spec.units.${file}}";
        file = path: "${path}=${builtins.toFile (builtins.baseNameOf path) spec.files.${path}}";
      in
      {
        config.system.build.toplevel = derivation {
          name = "nixos-system-${name}-${spec.version}";
          system = spec.platform;
          builder = "/bin/sh";
          args = [ "-e" ./build.sh ];
          PATH = "/usr/bin:/bin";
          units = map unit (builtins.attrNames spec.units);
          files = map file (builtins.attrNames spec.files);
          packages = map package spec.packages;
          hooks = builtins.toFile "hooks" spec.hooks;
          script = ./switch-to-configuration.sh;
        };
      }
    ) (builtins.fromJSON (builtins.readFile ./systems.json));
  };
}
