//! `cargo xtask bpf`: compiles the kernel's programs. What comes out is committed, so that nobody else needs clang;
//! `cargo xtask tidy` sees to it that it was made from what is committed beside it.
//!
//! Never knows: what the programs do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fail::{During, Fail, Result};
use crate::{run, setup};

/// Debian 12's, with the strip that belongs to it. The same version gives the same bytes.
const CLANG: &str = "clang-19";
const STRIP: &str = "llvm-strip-19";
const VERSION: &str = "19.1.7";

/// Where everything is, from the workspace's folder.
const ROOM: &str = "crates/capture";
const SOURCES: [&str; 3] = ["kernel.h", "layout.h", "track.bpf.c"];

/// What is compiled into which file, by the name the source gives it.
const OBJECTS: [(&str, &str); 4] = [
    ("REAL", "bpf/track.bpf.o"),
    ("ISSUE_ONLY", "tests/objects/issue_only.bpf.o"),
    ("BYTES", "tests/objects/bytes.bpf.o"),
    ("IDLE", "tests/objects/idle.bpf.o"),
];

/// Compiles all.
/// # Errors
/// clang is not of the version that everyone uses, or does not take the source.
pub(crate) fn main() -> Result<()> {
    setup::install(setup::Set::Bpf)?;
    if !is_ours()? {
        return Err(Fail::new(format!("{CLANG} is not {VERSION}: it would give other bytes than those committed")));
    }
    for (variant, object) in OBJECTS {
        let bytes = compile(variant)?;
        let path = run::root().join(ROOM).join(object);
        fs::write(&path, &bytes).during(path.display())?;
        println!("bpf: {ROOM}/{object}, {} bytes", bytes.len());
    }
    Ok(())
}

/// What is wrong with the objects, as (place, sentence).
/// # Errors
/// A file cannot be read, or clang is there and does not compile.
pub(crate) fn findings() -> Result<Vec<(String, String)>> {
    let mark = format!("sources:{}", hash()?);
    let exact = is_ours()?;
    if !exact {
        println!("tidy: {CLANG} {VERSION} is not installed; the kernel's programs were checked by the hash in them");
    }
    let mut findings = Vec::new();
    for (variant, object) in OBJECTS {
        let place = format!("{ROOM}/{object}");
        let committed = fs::read(run::root().join(&place)).during(&place)?;
        let same_sources = committed.windows(mark.len()).any(|window| window == mark.as_bytes());
        if !same_sources || exact && compile(variant)? != committed {
            findings.push((place, "was not made from the sources beside it: `cargo xtask bpf`".to_owned()));
        }
    }
    Ok(findings)
}

/// SHA-256 of all sources, one after the other.
fn hash() -> Result<String> {
    let paths = SOURCES.map(|name| folder().join(name));
    let mut all = Vec::new();
    for path in &paths {
        all.extend(fs::read(path).during(path.display())?);
    }
    let joined = scratch("sources")?;
    fs::write(&joined, all).during(joined.display())?;
    let said = run::text(run::program("sha256sum").arg(&joined))?;
    Ok(said.split_whitespace().next().unwrap_or_default().to_owned())
}

/// One object's bytes.
fn compile(variant: &str) -> Result<Vec<u8>> {
    let object = scratch(variant)?;
    let mut clang = Command::new(CLANG);
    clang.current_dir(folder()).args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Werror"]);
    clang.arg(format!("-DVARIANT={variant}")).arg(format!("-DSOURCES_HASH=\"{}\"", hash()?));
    clang.arg("-fdebug-compilation-dir=.").args(["-c", "track.bpf.c", "-o"]).arg(&object);
    run::run(&mut clang)?;
    run::run(Command::new(STRIP).arg("-g").arg(&object))?;
    fs::read(&object).during(object.display())
}

fn is_ours() -> Result<bool> {
    if run::find_program(CLANG).is_none() || run::find_program(STRIP).is_none() {
        return Ok(false);
    }
    Ok(run::text(Command::new(CLANG).arg("--version"))?.contains(VERSION))
}

fn folder() -> PathBuf {
    run::root().join(ROOM).join("bpf")
}

fn scratch(name: &str) -> Result<PathBuf> {
    let folder: &Path = &run::keep("bpf");
    fs::create_dir_all(folder).during(folder.display())?;
    Ok(folder.join(name))
}
