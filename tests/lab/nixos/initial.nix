# The system that every host comes with.
import ./system.nix { name = "initial"; }
