//! The program: its words, its exit status.

use std::process::{Command, Output};

use crate::fixture::{Fixture, WEB};
use crate::vault::{NAME, PASSPHRASE};

fn run(fixture: &Fixture, words: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("passphrase");
    std::fs::write(&file, [PASSPHRASE, b"\r\n"].concat()).expect("the passphrase is written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstay-verify"));
    command.args(words).env("BACKSTAY_PASSPHRASE_FILE", &file).current_dir(fixture.vault.path());
    command.output().expect("the program runs")
}

fn status(output: &Output) -> i32 {
    output.status.code().expect("an exit status")
}

#[test]
fn check_is_0_when_all_is_well_and_3_when_not() {
    let fixture = Fixture::new();
    let store = fixture.vault.path().to_string_lossy().into_owned();
    let output = run(&fixture, &["check", &store]);
    assert_eq!(status(&output), 0, "{output:?}");
    let header = fixture.vault.file("backstay.store");
    let mut bytes = std::fs::read(&header).expect("the header");
    bytes[4096] ^= 1;
    std::fs::write(&header, bytes).expect("the header is written");
    let output = run(&fixture, &["check", &store]);
    assert_eq!(status(&output), 3);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("copy: backstay.store: second copy"), "{text}");
}

#[test]
fn points_and_extract_give_what_is_there() {
    let fixture = Fixture::new();
    let store = fixture.vault.path().to_string_lossy().into_owned();
    let output = run(&fixture, &["points", &store, "--vault", NAME]);
    assert_eq!(status(&output), 0, "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).matches("\n  point ").count(), 4);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("disk");
    // Page 14 of disk 1 could not be read from the source.
    let output = run(&fixture, &["extract", &store, "web", "3", "1", &out.to_string_lossy()]);
    assert_eq!(status(&output), 3, "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("bytes 57344..61440 "), "{output:?}");
    assert!(std::fs::read(&out).expect("the disk") == fixture.disks[&(WEB, 3, 1)]);
    let output = run(&fixture, &["extract", &store, "web", "4", "2", &out.to_string_lossy()]);
    assert_eq!(status(&output), 0, "{output:?}");
    assert!(std::fs::read(&out).expect("the disk") == fixture.disks[&(WEB, 4, 2)]);
}

#[test]
fn other_words_are_usage_and_other_stores_fail() {
    let fixture = Fixture::new();
    let store = fixture.vault.path().to_string_lossy().into_owned();
    assert_eq!(status(&run(&fixture, &["check"])), 2);
    assert_eq!(status(&run(&fixture, &["check", &store, "--unknown"])), 2);
    assert_eq!(status(&run(&fixture, &["extract", &store, "web", "x", "1", "out"])), 2);
    assert_eq!(status(&run(&fixture, &["check", &format!("{store}/vault")])), 1);
    assert_eq!(status(&run(&fixture, &["check", &store, "--vault", "other"])), 1);
}
