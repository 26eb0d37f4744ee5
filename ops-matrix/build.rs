//! How the program is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // The tables of OpenSSL hold 29,000 pointers that the loader has to move at each start. Packed they are 9 KB in place of
    // 700, and a run of `versions` costs a tenth less. Needs glibc 2.36; a linker that does not know it leaves it out.
    println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
}
