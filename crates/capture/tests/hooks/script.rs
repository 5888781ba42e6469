//! Scripts: order, limits, what is kept of what they say.

use std::fs;
use std::path::Path;
use std::time::Duration;

use backstay_capture::hooks::{Application, End, Invocation, Outcome, Quiet, Script};

use crate::world::wait_for;

const MINUTE: Duration = Duration::from_secs(60);

fn boxed(scripts: Vec<Script>) -> Vec<Box<dyn Application>> {
    scripts.into_iter().map(|script| Box::new(script) as Box<dyn Application>).collect()
}

/// A script whose halves write their name and surroundings into a file.
fn noted(name: &str, file: &Path) -> Script {
    let text = format!("echo {name} $BACKSTAY_WHEN $BACKSTAY_POINT >> {}", file.display());
    Script::new(name, Some(Invocation::shell(&text, MINUTE)), Some(Invocation::shell(&text, MINUTE)))
}

#[test]
fn in_order_and_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("notes");
    let mut applications = boxed(vec![noted("one", &file), noted("two", &file)]);
    let quiet = Quiet::begin(&mut applications);
    assert!(quiet.reports().iter().all(|report| report.outcome == Outcome::Done));
    let reports = quiet.end(End::Kept);
    assert_eq!(
        reports.iter().map(|report| report.application.as_str()).collect::<Vec<_>>(),
        ["one", "two", "two", "one"]
    );
    drop(Quiet::begin(&mut applications));
    let expected = "one before\ntwo before\ntwo after kept\none after kept\n\
                    one before\ntwo before\ntwo after discarded\none after discarded\n";
    assert_eq!(fs::read_to_string(&file).expect("notes"), expected);
}

#[test]
fn the_after_half_runs_whatever_the_before_half_did() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ran");
    let after = || Some(Invocation::shell(format!("echo ran >> {}", file.display()), MINUTE));
    let missing = Invocation::new(vec!["/does/not/exist".into()], MINUTE);
    let fails = Invocation::shell("echo some words; echo and reasons >&2; exit 3", MINUTE);
    let mut applications = boxed(vec![Script::new("a", missing, after()), Script::new("b", Some(fails), after())]);
    let reports = Quiet::begin(&mut applications).end(End::Discarded);
    assert!(matches!(&reports[0].outcome, Outcome::Failed(why) if why.contains("/does/not/exist")));
    assert!(matches!(&reports[1].outcome, Outcome::Failed(why) if why.contains("exit status: 3")));
    assert!(reports[1].output.contains("some words\n") && reports[1].output.contains("and reasons\n"));
    assert_eq!((&reports[2].outcome, &reports[3].outcome), (&Outcome::Done, &Outcome::Done));
    assert_eq!(fs::read_to_string(&file).expect("ran"), "ran\nran\n");
}

#[test]
fn at_the_limit_the_whole_group_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("child");
    // The child ignores what is polite, and closes its output.
    let text = format!("sh -c 'trap \"\" TERM HUP; echo $$ > {}; exec sleep 1000 >&- 2>&-' & wait", file.display());
    let limit = Duration::from_millis(500);
    let mut script = Script::new("slow", Some(Invocation::shell(text, limit)), None);
    assert_eq!(script.before().outcome, Outcome::Late);
    let child = fs::read_to_string(&file).expect("it ran");
    wait_for("the child's end", || !Path::new("/proc").join(child.trim()).join("exe").exists());
    assert_eq!(script.after(End::Discarded), None);
}

#[test]
fn words_go_to_the_program_as_they_are() {
    let words = ["printf", "%s|", "a b", "$HOME", "*", "'"].map(Into::into).to_vec();
    let report = Script::new("words", Invocation::new(words, MINUTE), None).before();
    assert_eq!((report.outcome, report.output.as_str()), (Outcome::Done, "a b|$HOME|*|'|"));
    assert_eq!(Invocation::new(vec![], MINUTE), None);
    assert_eq!(Invocation::new(vec!["".into()], MINUTE), None);
}

#[test]
fn what_is_said_without_end_is_cut() {
    let text = "head -c 3000000 /dev/zero | tr '\\0' x; echo the end";
    let report = Script::new("loud", Some(Invocation::shell(text, MINUTE)), None).before();
    assert_eq!(report.outcome, Outcome::Done);
    assert!(report.output.len() < 20_000 && report.output.ends_with("xthe end\n"), "{}", report.output.len());
    let endless = Invocation::shell("yes", Duration::from_millis(300));
    assert_eq!(Script::new("endless", Some(endless), None).before().outcome, Outcome::Late);
}

#[test]
fn what_is_left_in_the_background_does_not_hold_things_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("child");
    let text = format!("sleep 1000 & echo $! > {}; echo done", file.display());
    let report = Script::new("daemon", Some(Invocation::shell(text, MINUTE)), None).before();
    assert_eq!((report.outcome, report.output.as_str()), (Outcome::Done, "done\n"));
    let child: i32 = fs::read_to_string(&file).expect("it ran").trim().parse().expect("a number");
    let child = rustix::process::Pid::from_raw(child).expect("a process");
    rustix::process::kill_process(child, rustix::process::Signal::KILL).expect("it is there still");
}
