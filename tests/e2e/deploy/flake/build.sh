# Builds a system: $units and $files are NAME=PATH words, $script and $hooks become bin/switch-to-configuration.
mkdir -p $out/bin $out/etc/systemd/system $out/sw
for unit in $units; do cp ${unit#*=} $out/etc/systemd/system/${unit%%=*}; done
mkdir -p $out/etc/systemd/system/multi-user.target.wants
for unit in $units; do ln -s ../${unit%%=*} $out/etc/systemd/system/multi-user.target.wants/${unit%%=*}; done
for file in $files; do mkdir -p $out/etc/$(dirname ${file%%=*}); ln -s ${file#*=} $out/etc/${file%%=*}; done
printf '%s\n' $packages >$out/packages
{ echo '#!/bin/sh'; echo "self=$out"; cat $hooks $script; } >$out/bin/switch-to-configuration
chmod 755 $out/bin/switch-to-configuration
echo test >$out/nixos-version
echo '#!/bin/sh' >$out/init
