//! Writes the man pages and shell completions of all tools, from the same definitions that parse their command lines.
//!
//! `ops-manual DIR` writes them where manuals and shells look for them when DIR is `/usr/share` or `~/.local/share`:
//! `man/man1/TOOL.1` and one page for each verb, `bash-completion/completions`, `fish/vendor_completions.d`,
//! `zsh/site-functions`.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = std::env::args_os()
        .nth(1)
        .ok_or("usage: ops-manual DIR")?
        .into();
    let man = folder.join("man/man1");
    std::fs::create_dir_all(&man)?;
    for command in tools() {
        clap_mangen::generate_to(command.clone(), &man)?;
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            complete(command.clone(), shell, &folder)?;
        }
    }
    Ok(())
}

fn tools() -> [clap::Command; 5] {
    [
        ops_deploy::cli::Cli::command(),
        ops_secrets::cli::Cli::command(),
        ops_bridge::cli::Cli::command(),
        ops_db::cli::Cli::command(),
        ops_matrix::cli::Cli::command(),
    ]
}

fn complete(mut command: clap::Command, shell: Shell, folder: &Path) -> std::io::Result<()> {
    let name = command.get_name().to_owned();
    let folder = folder.join(match shell {
        Shell::Fish => "fish/vendor_completions.d",
        Shell::Zsh => "zsh/site-functions",
        _ => "bash-completion/completions",
    });
    std::fs::create_dir_all(&folder)?;
    clap_complete::generate_to(shell, &mut command, name, folder)?;
    Ok(())
}
