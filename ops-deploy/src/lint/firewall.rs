//! Which TCP ports a firewall of the system lets in, as its rules in the closure say: a script of iptables, or rules of nftables.

use ops_common::check::Check;

use super::System;

/// Units that set up NixOS's firewall.
const UNITS: [&str; 2] = ["firewall.service", "nftables.service"];

/// Files that the firewall's units start or load.
pub(super) fn rule_files<'a>(unit: &str, text: &'a str) -> Vec<&'a str> {
    if !UNITS.contains(&unit) {
        return Vec::new();
    }
    let ends = |c: char| c.is_whitespace() || "\"'=@;".contains(c);
    let words = text.split(ends);
    words
        .filter(|word| word.starts_with("/nix/store/"))
        .filter(|word| word.contains("firewall-start") || word.contains("nftables-rules"))
        .collect()
}

/// Ports of sshd that the old firewall let in and the new one does not.
pub(super) fn sshd(
    old: &System,
    new: &System,
    ports: impl IntoIterator<Item = u16>,
) -> Option<Check> {
    let after = open(new)?;
    let before = open(old);
    let was_open = |port: u16| before.as_ref().is_none_or(|open| lets_in(open, port));
    let (kept, lost): (Vec<u16>, Vec<u16>) = ports
        .into_iter()
        .filter(|port| was_open(*port))
        .partition(|port| lets_in(&after, *port));
    if lost.is_empty() {
        return None;
    }
    let check = if kept.is_empty() {
        Check::fail
    } else {
        Check::warn
    };
    let ports: Vec<String> = lost.iter().map(u16::to_string).collect();
    let told = format!("no longer lets in port {} of sshd", ports.join(", "));
    let fix = "keep it in networking.firewall.allowedTCPPorts, or services.openssh.openFirewall";
    Some(check("deploy.lint.firewall", "firewall", told).fix(fix))
}

type Range = (u16, u16);

fn lets_in(open: &[Range], port: u16) -> bool {
    open.iter().any(|(from, to)| (*from..=*to).contains(&port))
}

/// The TCP ports that are let in; `None` without a firewall, or with one whose rules are not known here.
fn open(system: &System) -> Option<Vec<Range>> {
    let units = system.units.named_texts();
    let files: Vec<&str> = units
        .flat_map(|(name, text)| rule_files(name, text))
        .collect();
    let texts: Vec<&String> = files
        .iter()
        .filter_map(|path| system.files.get(*path))
        .collect();
    if texts.is_empty() {
        return None;
    }
    let lines = texts.iter().flat_map(|text| text.lines());
    Some(lines.flat_map(ranges).collect())
}

/// The ports of `--dport 22 -j nixos-fw-accept`, `--dport 60:70`, `tcp dport 22 accept` and `tcp dport { 22, 60-70 } accept`.
fn ranges(line: &str) -> Vec<Range> {
    if !line.contains("tcp") || !line.contains("accept") {
        return Vec::new();
    }
    let Some((_, after)) = line.split_once("dport") else {
        return Vec::new();
    };
    let after = after.trim_start();
    let list = match after.strip_prefix('{') {
        Some(set) => set.split('}').next().unwrap_or(""),
        None => after.split_whitespace().next().unwrap_or(""),
    };
    let range = |text: &str| {
        let (from, to) = text.split_once([':', '-']).unwrap_or((text, text));
        Some((from.trim().parse().ok()?, to.trim().parse().ok()?))
    };
    list.split(',')
        .filter_map(|text| range(text.trim()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-nftables-rules";
    const SCRIPT: &str =
        "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-firewall-start/bin/firewall-start";

    fn nftables(rules: &str) -> System {
        System::default()
            .with_unit(
                "nftables.service",
                &format!("[Service]\nExecStart={RULES}\n"),
            )
            .with_file(RULES, rules)
    }

    fn iptables(rules: &str) -> System {
        System::default()
            .with_unit(
                "firewall.service",
                &format!("[Service]\nExecStart=@{SCRIPT} firewall-start\n"),
            )
            .with_file(SCRIPT, rules)
    }

    #[test]
    fn a_port_that_is_no_longer_let_in_is_told() {
        let told = |old: &System, new: &System, ports: &[u16]| {
            let check = sshd(old, new, ports.iter().copied());
            check.map(|check| format!("{} {}", check.status.word(), check.message))
        };
        let both = iptables(
            "ip46tables -A nixos-fw -p tcp --dport 22 -j nixos-fw-accept\nip46tables -A nixos-fw -p tcp --dport 2000:2222 -j nixos-fw-accept\n",
        );
        let web = nftables("tcp dport { 80, 443, 2200-2300 } accept\nudp dport 22 accept\n");
        let one = nftables("iifname \"eth0\" tcp dport 22 accept\n");
        let lost = "fail no longer lets in port 22 of sshd".to_owned();
        assert_eq!(told(&both, &web, &[22]), Some(lost.clone()));
        assert_eq!(told(&System::default(), &web, &[22]), Some(lost));
        let warned = "warn no longer lets in port 22 of sshd".to_owned();
        assert_eq!(told(&both, &web, &[22, 2222]), Some(warned));
        for (old, new) in [
            (&both, &one),
            (&web, &System::default()),
            (&web, &web),
            (&both, &both),
        ] {
            assert_eq!(told(old, new, &[22]), None);
        }
    }
}
