//! Dropping points, getting their space back, keys, and the pages that a package needs.

use std::fs;
use std::time::Duration;

use crate::tools::*;
use crate::world::*;

const MIB: u64 = 1 << 20;

/// Three points of an image that is other noise each time, and copies of what each holds.
fn with_three_points() -> (World, Vec<std::path::PathBuf>) {
    let world = World::new();
    let image = world.path("web.img");
    let mut kept = Vec::new();
    for n in 1..=3 {
        sparse(&image, 8 * MIB + 512);
        poke(&image, 4096, &Numbers(n).bytes(3 << 20));
        assert_eq!(world.protect(text(&image)), n);
        kept.push(world.path(&format!("kept-{n}")));
        copy(&image, kept.last().unwrap());
    }
    (world, kept)
}

#[test]
fn points_are_forgotten_and_their_space_comes_back() {
    let (world, kept) = with_three_points();
    let full = world.packed();
    assert!(full > 9 * MIB);
    // Asked, not done: nobody to say yes, or only a look at the plan.
    let drop_two = ["forget", "m", "--point", "1", "2"];
    let before = content(&world.store);
    let said = world.run(&drop_two);
    assert!(sentence(4, &said).contains("--yes"), "{said:?}");
    assert!(said.out.contains("drop point 1 ") && said.out.contains("plan for m: drop 2, keep 1"), "{said:?}");
    let said = world.run(&[&drop_two[..], &["--json"]].concat());
    sentence(4, &said);
    let plan: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((plan["drop"].as_array().unwrap().len(), &plan["keep"]), (2, &1.into()));
    let plan = world.ok(&[&drop_two[..], &["--dry-run"]].concat());
    assert!(plan.contains("drop 2, keep 1"), "{plan}");
    assert_eq!(world.json(&[&drop_two[..], &["--dry-run"]].concat())["drop"][1]["point"], 2);
    world.ok(&["reclaim", "--dry-run"]);
    assert_eq!(content(&world.store), before, "nothing changed");

    let out = world.ok(&[&drop_two[..], &["--yes"]].concat());
    assert!(out.contains("dropped 2 points") && out.contains("backstay reclaim"), "{out}");
    assert_eq!(world.points().iter().map(|p| p.0).collect::<Vec<_>>(), [3]);
    world.assert_restores("latest", &kept[2]);
    assert!(world.packed() >= full, "space is not freed behind anybody's back");

    let plan = world.json(&["reclaim", "--dry-run"]);
    assert!(plan["bytes"].as_u64().unwrap() > 5 * MIB, "{plan}");
    let before = content(&world.store);
    let said = world.run(&["reclaim"]);
    assert!(sentence(4, &said).contains("--yes") && said.out.starts_with("plan: "), "{said:?}");
    assert_eq!(content(&world.store), before);
    let done = world.json(&["reclaim", "--yes"]);
    assert!(done["bytes"].as_u64().unwrap() > 5 * MIB, "{done}");
    assert!(world.packed() < full / 2, "{} of {full} left", world.packed());
    world.assert_restores("latest", &kept[2]);
    world.assert_clean();
    // Nothing left to do is no question.
    assert!(world.ok(&["reclaim"]).contains("0 B come free"));
}

#[test]
fn a_schedule_thins_a_timeline() {
    let (world, kept) = with_three_points();
    let said = world.run(&["forget", "m", "--keep-all", "1h"]);
    assert!(said.status == Some(0) && said.out.contains("drop 0, keep 3"), "{said:?}");
    // All three are of one year; the newest of it stays, wherever the turn of a year or a minute falls.
    std::thread::sleep(Duration::from_millis(1100));
    let plan = world.json(&["forget", "m", "--keep-all", "1s", "--keep-yearly", "5y", "--dry-run"]);
    assert_eq!(plan["keep"], 1, "{plan}");
    let done = world.json(&["forget", "m", "--keep-all", "1s", "--keep-yearly", "5y", "--yes"]);
    assert_eq!((done["dropped"].as_array().unwrap().len(), &done["kept"]), (2, &1.into()));
    let again = world.json(&["forget", "m", "--keep-all", "1s", "--keep-yearly", "5y", "--yes"]);
    assert_eq!((again["dropped"].as_array().unwrap().len(), &again["kept"]), (0, &1.into()));
    let left = world.points();
    assert_eq!(left.len(), 1);
    world.assert_restores("latest", &kept[left[0].0 as usize - 1]);
    world.ok(&["reclaim", "--yes"]);
    world.assert_restores("latest", &kept[left[0].0 as usize - 1]);
    world.assert_clean();
}

#[test]
fn a_machine_whose_points_are_all_gone_has_none_yet() {
    let (world, _) = with_three_points();
    world.ok(&["forget", "m", "--point", "1", "2", "3", "--yes"]);
    for args in [&["show", "m"][..], &["files", "ls", "m", "--at", "1s ago"], &["restore", "m", "--to", "x"]] {
        let sentence = world.refused(1, args);
        assert!(sentence.contains("machine m has no points yet"), "{sentence}");
    }
    assert!(world.ok(&["points", "m"]).contains("no points yet"));
    assert_eq!(world.json(&["machines"])[0]["points"], 0);
}

#[test]
fn damage_is_found_and_named() {
    let (world, _) = with_three_points();
    world.damage();

    let said = world.run(&["check", "--read-data"]);
    assert_eq!(said.status, Some(3), "{said:?}");
    assert!(said.out.contains("lost: machine m, disk "), "{said:?}");
    let said = world.run(&["check", "--read-data", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.status, &found["clean"]), (Some(3), &false.into()));
    let loss = &found["losses"][0];
    let (from, point) = (loss["from_byte"].as_u64().unwrap(), loss["from_point"].as_u64().unwrap());
    assert_eq!(loss["machine"], "m");

    // Everything else of that point comes back, and what does not is named.
    let time = &world.points()[point as usize - 1].1;
    let out = world.path("out.img");
    let said = world.run(&["restore", "m", "--at", time, "--to", text(&out), "--json"]);
    assert_eq!(said.status, Some(3), "{said:?}");
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let lost: Vec<(u64, u64)> = report["unreadable"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["from"].as_u64().unwrap(), r["to"].as_u64().unwrap()))
        .collect();
    assert!(lost.iter().any(|(a, b)| (*a..*b).contains(&from)), "{report} names {from}");
    let (expected, got) = (fs::read(world.path(&format!("kept-{point}"))).unwrap(), fs::read(&out).unwrap());
    assert_eq!(expected.len(), got.len());
    for (at, (one, other)) in expected.iter().zip(&got).enumerate() {
        let named = lost.iter().any(|(a, b)| (*a..*b).contains(&(at as u64)));
        assert!(named || one == other, "byte {at} is wrong and not named");
    }
}

#[test]
fn passphrases_come_and_go() {
    let world = World::without_store();
    world.ok(&["init", text(&world.store)]);
    for (file, words) in [("second", "battery staple"), ("third", "tr0ub4dor")] {
        fs::write(world.path(file), format!("{words}\n")).unwrap();
    }
    let opens = |file: &str| {
        let status = world.run(&["machines", "--passphrase-file", file]).status;
        assert!(matches!(status, Some(0 | 4)), "{status:?}");
        status == Some(0)
    };
    assert!(opens("passphrase") && !opens("second"));
    assert_eq!(world.json(&["key", "add", "--new-passphrase-file", "second", "--label", "safe"])["slot"], 1);
    assert!(opens("passphrase") && opens("second"));
    let listed = world.json(&["key", "list"]);
    assert_eq!((listed.as_array().unwrap().len(), &listed[1]["label"]), (2, &"safe".into()));
    assert!(world.ok(&["key", "list"]).contains("safe"));

    world.ok(&["key", "change", "--new-passphrase-file", "third"]);
    assert!(!opens("passphrase") && opens("second") && opens("third"));
    let with_third = |args: &[&str]| world.json(&[args, &["--passphrase-file", "third"]].concat());
    assert_eq!(with_third(&["key", "remove", "1"])["removed"], 1);
    assert!(!opens("second") && opens("third"));
    let last = with_third(&["key", "list"])[0]["slot"].to_string();
    let sentence = world.refused(4, &["key", "remove", &last, "--passphrase-file", "third"]);
    assert!(sentence.contains("only one left") && sentence.contains("add another"), "{sentence}");

    // Paper opens what no passphrase does.
    let paper = world.ok(&["key", "paper", "--passphrase-file", "third"]);
    assert!(paper.starts_with("store ") && paper.lines().count() == 11, "{paper}");
    let lines = with_third(&["key", "paper"]);
    assert_eq!(lines.as_array().unwrap().len(), 11);
}

#[test]
fn manual_pages_and_completions() {
    let world = World::without_store();
    world.ok(&["man", "pages"]);
    let pages: Vec<_> = fs::read_dir(world.path("pages")).unwrap().map(|e| e.unwrap().path()).collect();
    for name in ["backstay.1", "backstay-protect.1", "backstay-restore.1", "backstay-files-get.1", "backstay-forget.1"]
    {
        assert!(pages.iter().any(|p| p.ends_with(name)), "{name} in {pages:?}");
    }
    for page in &pages {
        let out = output("groff", ["-man", "-Tutf8", "-ww", text(page)]);
        assert!(out.status.success() && out.stderr.is_empty(), "{page:?}: {}", String::from_utf8_lossy(&out.stderr));
        assert!(!fs::read_to_string(page).unwrap().contains(text(world.dir.path())), "what is set here is in {page:?}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(world.ok(&["completions", shell]).contains("protect"), "{shell}");
    }
    let script = world.path("completions.bash");
    fs::write(&script, world.ok(&["completions", "bash"])).unwrap();
    run("bash", ["-n", text(&script)]);
}

#[test]
fn help_is_for_people() {
    let world = World::without_store();
    for command in
        ["init", "protect", "machines", "points", "show", "restore", "mount", "serve", "check", "forget", "reclaim"]
    {
        let help = world.ok(&[command, "--help"]);
        assert!(help.contains("Common options:") && help.lines().all(|l| l.chars().count() <= 100), "{help}");
        assert!(!help.contains(text(world.dir.path())), "{help}");
    }
    assert!(world.ok(&["--version"]).starts_with("backstay "));
    // Whoever stops reading early does no harm.
    let mut command = std::process::Command::new("bash");
    let script = format!("set -o pipefail; {} --help | true; echo ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_backstay"));
    let said = said(command.args(["-c", &script]));
    assert_eq!((said.out.trim(), said.err.as_str()), ("0", ""));
}

#[test]
fn a_damaged_ledger_still_gives_what_was_before() {
    let (world, kept) = with_three_points();
    let entries = content(&world.store).into_keys().filter(|name| name.contains("/ledger/entry/"));
    let newest = entries.max().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    bytes.iter_mut().skip(80).step_by(50).for_each(|b| *b ^= 0xFF); // both copies
    fs::write(&newest, bytes).unwrap();

    let said = world.run(&["points", "m", "--json"]);
    let points: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.status, points.as_array().unwrap().len()), (Some(3), 2), "{said:?}");
    assert!(said.err.contains("is damaged") && said.err.contains(text(&world.store)), "{said:?}");
    let out = world.path("out.img");
    let said = world.run(&["restore", "m", "--to", text(&out)]);
    assert!(said.status == Some(3) && said.err.contains("(point 2)"), "{said:?}");
    assert_same(&out, &kept[1]);
    assert_eq!(world.run(&["check"]).status, Some(3));
    // Nothing is written to what cannot be understood.
    let sentence = world.refused(3, &["protect", text(&kept[0]), "--machine", "m", "--once"]);
    assert!(sentence.contains("is damaged"), "{sentence}");
}

#[test]
fn a_store_whose_passphrases_are_lost_is_opened_from_paper() {
    let world = World::new();
    let image = world.path("disk.img");
    noisy_image(&image, MIB, 3);
    world.protect(text(&image));
    let paper = world.ok(&["key", "paper"]);
    // Nobody knows the passphrase any more, and a slip of the keyboard lost the next one too.
    fs::write(world.path("lost"), "qwertz\n").unwrap();
    world.ok(&["key", "change", "--new-passphrase-file", "lost"]);
    assert!(world.refused(4, &["points", "m"]).contains("passphrase"));

    fs::write(world.path("found"), "a new beginning\n").unwrap();
    let add = |paper: &str| ["key", "add", "--paper", paper, "--new-passphrase-file", "found"].map(str::to_owned);
    let refused = |content: &str| {
        fs::write(world.path("paper"), content).unwrap();
        let args = add("paper");
        world.refused(2, &args.each_ref().map(String::as_str))
    };
    let third = paper.lines().nth(5).unwrap();
    let digit = if third.ends_with('0') { "1" } else { "0" };
    let typo = paper.replace(third, &format!("{}{digit}", &third[..third.len() - 1]));
    assert!(refused(&typo).contains("line 3 is mistyped"));
    assert!(refused(&paper.replace(third, "")).contains("line 3 is missing"));
    assert!(refused("a shopping list\n").contains("these are not the keys on paper"));
    assert!(refused(&World::new().ok(&["key", "paper"])).contains("it is of the store "));

    // Typed in with other spaces and letters, and no key slot left at all.
    let typed = paper.lines().map(|l| l.replace(' ', "  ")).collect::<Vec<_>>().join("\r\n");
    fs::write(world.path("paper"), typed.replace("vault  id", "vault id")).unwrap();
    fs::remove_dir_all(world.store.join("vault/main/keys")).unwrap();
    let args = add("paper");
    let out = world.ok(&args.each_ref().map(String::as_str));
    assert!(out.contains("added key slot 0"), "{out}");
    fs::write(world.path("passphrase"), "a new beginning\n").unwrap();
    world.assert_restores("latest", &image);
    world.assert_clean();

    // From standard input as well.
    let mut command = world.command(&add("-").each_ref().map(String::as_str));
    command.stdin(fs::File::open(world.path("paper")).unwrap());
    let said = said(&mut command);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert_eq!(world.json(&["key", "list"]).as_array().unwrap().len(), 2);
}
