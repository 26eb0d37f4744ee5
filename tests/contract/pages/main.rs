//! Runs every shell block of README.md and docs/ against a lab host that has the name used there, `ops-jrz1`.
//!
//! - ```` ```sh ````: the block is run by `sh -eu`, in a folder of its own made by `scene.sh`; status 0 expected.
//! - ```` ```console ````: each line behind `$ ` is run in the same way; a transcript's command may answer no (1) or unknown (3),
//!   but must be one that the tool takes.
//! - ```` ```sh exempt ````: not run. `EXEMPT` has how many each file may have, and why.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use ops_tests::{Kind, Lab, Ran, bin_dir, command, skip};

/// Files with blocks that are not run: how many, and why.
const EXEMPT: &[(&str, usize, &str)] = &[(
    "README.md",
    2,
    "make targets; pipelines over two hosts, run by make demo",
)];

/// A block of a page.
struct Block {
    page: String,
    line: usize,
    kind: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn pages() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(root().join("docs")).expect("there is a folder docs");
    let mut pages: Vec<_> = docs
        .map(|entry| entry.expect("docs can be read").path())
        .collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.sort();
    pages.insert(0, root().join("README.md"));
    pages
}

fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for path in pages() {
        let text = std::fs::read_to_string(&path).expect("a page can be read");
        let page = path
            .file_name()
            .expect("a page has a name")
            .to_string_lossy()
            .into_owned();
        let mut open: Option<Block> = None;
        for (number, line) in text.lines().enumerate() {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(kind)) => {
                    let kind = kind.trim().to_owned();
                    open = Some(Block {
                        page: page.clone(),
                        line: number + 2,
                        kind,
                        text: String::new(),
                    });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => writeln!(block.text, "{line}").expect("text can grow"),
                (None, None) => {}
            }
        }
    }
    blocks
}

fn run(text: &str) -> Ran {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let scene = Path::new(env!("CARGO_MANIFEST_DIR")).join("pages/scene.sh");
    let path = format!(
        "{}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        bin_dir().display()
    );
    let script = format!(". {}\nset -eu\n{text}", scene.display());
    command("sh")
        .args(["-euc", &script])
        .env("PATH", path)
        .env(
            "LAB_NIXOS",
            concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/nixos"),
        )
        .dir(folder.path())
        .run()
}

#[test]
fn shell_blocks_do_what_they_show() {
    let Some(lab) = Lab::get() else {
        return skip("lab");
    };
    let _host = lab.host("ops-jrz1", Kind::Platform);
    let mut failed = String::new();
    for block in blocks() {
        let place = format!("{}:{}", block.page, block.line);
        match block.kind.as_str() {
            "sh" => {
                let ran = run(&block.text);
                if ran.status != 0 {
                    writeln!(failed, "{place}:\n{}\n{ran}", block.text).expect("text can grow");
                }
            }
            "console" => {
                for line in block
                    .text
                    .lines()
                    .filter_map(|line| line.strip_prefix("$ "))
                {
                    let ran = run(line);
                    if ![0, 1, 3].contains(&ran.status) {
                        writeln!(failed, "{place}: {line}\n{ran}").expect("text can grow");
                    }
                }
            }
            _ => {}
        }
    }
    assert!(failed.is_empty(), "blocks that do not work:\n{failed}");
}

#[test]
fn exempt_blocks_are_counted() {
    let blocks = blocks();
    let of = |page: &str| {
        blocks
            .iter()
            .filter(|block| block.page == page && block.kind == "sh exempt")
            .count()
    };
    for page in blocks.iter().map(|block| &block.page) {
        let allowed = EXEMPT
            .iter()
            .find(|(name, _, _)| name == page)
            .map_or(0, |(_, count, _)| *count);
        assert_eq!(of(page), allowed, "exempt blocks of {page}");
    }
    let kinds = [
        "sh",
        "sh exempt",
        "console",
        "yaml",
        "json",
        "toml",
        "rust",
        "nix",
        "ini",
        "text",
        "sql",
        "make",
        "",
    ];
    for block in &blocks {
        assert!(
            kinds.contains(&block.kind.as_str()),
            "{}:{} is of the kind '{}'",
            block.page,
            block.line,
            block.kind
        );
    }
}
