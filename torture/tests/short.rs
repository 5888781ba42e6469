//! A short torture, so that the long one works when somebody wants it.
//!
//! Never knows: what it does.

use std::path::Path;
use std::process::Command;

/// The program from the same build as these tests.
fn backstay() -> std::path::PathBuf {
    let torture = Path::new(env!("CARGO_BIN_EXE_torture"));
    let built = torture.with_file_name("backstay");
    // `cargo test --workspace` has made it already; for this package alone, nobody has.
    if !built.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let target = torture.ancestors().nth(2).unwrap();
        let mut command = Command::new(cargo);
        command.args(["build", "--locked", "--package", "backstay-cli", "--target-dir"]).arg(target);
        assert!(command.status().unwrap().success());
    }
    built
}

#[test]
fn every_point_stands_before_its_judges() {
    let evidence = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_torture"));
    command.arg("--backstay").arg(backstay()).arg("--evidence").arg(evidence.path());
    command.args(["--rounds", "2", "--load", "4", "--seed", "12", "--only", "parts,slow"]);
    let said = command.output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    println!("{text}");
    assert!(said.status.success(), "{text}{}", String::from_utf8_lossy(&said.stderr));
    // Lines of a number and who agreed so often.
    let agreed: Vec<&str> =
        text.lines().filter_map(|line| line.trim_start().split_once("  ")).map(|(_, who)| who).collect();
    for judge in ["file tree", "fio's checksums", "ext4", "xfs", "btrfs", "restored whole"] {
        assert!(agreed.contains(&judge), "{judge} was not asked: {text}");
    }
}
