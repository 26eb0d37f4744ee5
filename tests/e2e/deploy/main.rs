//! Deployments on real hosts: systemd, sshd and Nix are what they are; only the systems are small.

mod bed;
mod way;
