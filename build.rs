//! How the five programs are linked: the build script of each of them. A start is most of what a short run costs.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=../build.rs");
    // The tables of OpenSSL hold 29,000 pointers that the loader has to move at each start. Packed they are 9 KB in place of
    // 700, and a run of `ops-matrix versions` costs a tenth less. Needs glibc 2.36; a linker that does not know it leaves it
    // out.
    println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    // The unwinder becomes a part of the program where the C compiler has it as an archive: one library less to load, which
    // is another tenth. Elsewhere it is libgcc_s.so.
    if has_archive("libgcc_eh.a") {
        println!("cargo:rustc-link-lib=gcc_eh");
    }
}

/// Whether the C compiler, which links, has this archive: it tells the whole path of one that it has.
#[expect(
    clippy::disallowed_methods,
    reason = "a build script has no ops_common"
)]
fn has_archive(name: &str) -> bool {
    let linker = std::env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    let told = Command::new(linker)
        .arg(format!("-print-file-name={name}"))
        .output();
    told.is_ok_and(|told| Path::new(String::from_utf8_lossy(&told.stdout).trim()).is_absolute())
}
