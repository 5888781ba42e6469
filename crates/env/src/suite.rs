//! What every home of objects must do, as one suite of checks that panic: run it on each kind of home.
//!
//! Never knows: which kind of home it runs on.
//! Not covered: what survives a power loss; that is proved by simulation and by killing real processes. Of what
//! [`Objects::settle`] does, only that it can be asked of any folder at any time and changes nothing that can be seen.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use crate::objects::{Key, ObjectError, Objects};

/// A home to test, shared by threads.
pub type Home = Arc<dyn Objects>;

/// Runs every check. `make` gives the home of a name, empty when the name is new; the same name again gives another
/// access to the same home, as another process would have it.
///
/// # Panics
/// When the home breaks a guarantee of [`Objects`].
pub fn objects(make: impl Fn(&str) -> Home) {
    for (name, check) in CHECKS {
        println!("check: {name}");
        check(&make(name), &make(name));
    }
}

/// A check, on two accesses to one home.
type Check = fn(&Home, &Home);

const CHECKS: [(&str, Check); 14] = [
    ("absent", absent),
    ("sizes", sizes),
    ("ranges", ranges),
    ("replacing", replacing),
    ("names", names),
    ("deleting", deleting),
    ("deleting-many", deleting_many),
    ("settling", settling),
    ("listing", listing),
    ("many", many),
    ("one-winner", one_winner),
    ("readers", readers),
    ("opened", opened),
    ("big", big),
];

fn key(name: &str) -> Key {
    Key::new(name).expect("a name of the suite is a name")
}

/// Bytes that show when they are at the wrong place.
fn body(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ (at >> 16) as u8 ^ seed).collect()
}

fn is_not_found<T>(result: Result<T, ObjectError>) -> bool {
    matches!(result, Err(ObjectError::NotFound(_)))
}

/// What is under a prefix, which both ways to ask agree on.
fn listed(home: &Home, prefix: &str) -> Vec<(String, u64)> {
    let listed = home.list(&key(prefix)).expect("listed");
    let names = home.names(&key(prefix)).expect("names");
    assert!(names.iter().eq(listed.iter().map(|object| &object.key)), "names under {prefix}");
    listed.into_iter().map(|object| (object.key.to_string(), object.size)).collect()
}

fn absent(home: &Home, _: &Home) {
    assert!(is_not_found(home.get(&key("a/b"))));
    assert!(is_not_found(home.open(&key("a/b"))));
    assert_eq!(listed(home, "a"), []);
    home.delete(&key("a/b")).expect("deleting what is not there is no error");
    home.put(&key("a/c"), &[b"x"]).expect("put");
    assert!(is_not_found(home.get(&key("a/b"))), "in a folder that is there");
}

fn sizes(home: &Home, other: &Home) {
    for len in [0, 1, 2, 511, 4095, 4096, 4097, 65_536, (1 << 20) + 3] {
        let (key, body) = (key(&format!("sizes/{len}")), body(len, 1));
        let (head, tail) = body.split_at(len / 3);
        home.put(&key, &[head, b"", tail]).expect("put");
        assert!(other.get(&key).expect("get") == body, "{len} bytes");
        assert_eq!(other.open(&key).expect("open").size(), len as u64);
    }
    home.put(&key("sizes/none"), &[]).expect("an object of no parts");
    assert_eq!(other.get(&key("sizes/none")).expect("get"), b"");
    let small: Vec<Vec<u8>> = (0..3000).map(|n| body(n % 7, n as u8)).collect();
    let parts: Vec<&[u8]> = small.iter().map(Vec::as_slice).collect();
    home.put_new(&key("sizes/parts"), &parts).expect("an object of many parts");
    assert!(other.get(&key("sizes/parts")).expect("get") == small.concat());
}

fn ranges(home: &Home, _: &Home) {
    let (key, body) = (key("ranges/a"), body(100_000, 2));
    home.put(&key, &[&body]).expect("put");
    let object = home.open(&key).expect("open");
    for (offset, len) in [(0, 1), (0, 100_000), (99_999, 1), (4095, 2), (50_000, 12_345), (0, 0), (100_000, 0)] {
        let mut bytes = vec![0xaa; len];
        object.read_at(offset, &mut bytes).expect("read");
        assert!(bytes == body[offset as usize..offset as usize + len], "{len} bytes at {offset}");
    }
    for (offset, len) in [(0, 100_001), (99_999, 2), (100_000, 1), (1 << 40, 1), (u64::MAX, 1), (u64::MAX, 0)] {
        let read = object.read_at(offset, &mut vec![0; len]);
        assert!(matches!(read, Err(ObjectError::Short(_))), "{len} bytes at {offset}: {read:?}");
    }
}

fn replacing(home: &Home, other: &Home) {
    let key = key("replacing/a");
    home.put(&key, &[&body(5000, 1)]).expect("put");
    home.put(&key, &[b"short"]).expect("put replaces");
    assert_eq!(other.get(&key).expect("get"), b"short");
    assert_eq!(listed(other, "replacing"), [("replacing/a".to_string(), 5)]);
    let again = other.put_new(&key, &[b"other"]);
    assert!(matches!(again, Err(ObjectError::Exists(ref at)) if *at == key), "{again:?}");
    assert_eq!(home.get(&key).expect("get"), b"short", "put_new never replaces");
}

fn names(home: &Home, other: &Home) {
    let long = "x".repeat(100);
    let odd = ["0", "a.b", "a..b", "a_b", "-", "--", "z-", "_", "a/b/c/d/e/f/g", "con", &long];
    let mut expected: Vec<(String, u64)> = Vec::new();
    for name in odd {
        let name = format!("names/{name}");
        home.put_new(&key(&name), &[name.as_bytes()]).expect("put");
        expected.push((name.clone(), name.len() as u64));
    }
    expected.sort();
    assert_eq!(listed(other, "names"), expected);
    expected.iter().for_each(|(name, _)| assert_eq!(other.get(&key(name)).expect("get"), name.as_bytes()));
    home.put(&key("alone"), &[b"x"]).expect("a name without a folder");
    assert_eq!(other.get(&key("alone")).expect("get"), b"x");
    assert_eq!(listed(other, "alone"), [], "an object is not under itself");
}

fn deleting(home: &Home, other: &Home) {
    let key = key("deleting/a");
    for _ in 0..3 {
        home.put_new(&key, &[b"x"]).expect("what was deleted can be made again");
        other.delete(&key).expect("delete");
        assert!(is_not_found(home.get(&key)));
        assert_eq!(listed(home, "deleting"), []);
        home.delete(&key).expect("delete again");
    }
    home.put(&key, &[b"x"]).expect("put");
    std::thread::scope(|scope| {
        let delete = |home: &'_ Home| home.delete(&key).expect("deleting at the same time");
        (0..8).for_each(|n| drop(scope.spawn(move || delete(if n % 2 == 0 { home } else { other }))));
    });
    assert!(is_not_found(home.open(&key)));
}

fn deleting_many(home: &Home, other: &Home) {
    home.delete_all(&[]).expect("nothing");
    let keys: Vec<Key> = ["b", "a/1", "a/2", "a/b/1", "c", "a/3"].map(|name| key(&format!("many/{name}"))).into();
    home.delete_all(&keys).expect("deleting what is not there is no error");
    keys.iter().for_each(|key| home.put_new(key, &[b"x" as &[u8]]).expect("put"));
    home.put(&key("many/a/4"), &[b"x"]).expect("put");
    other.delete_all(&keys).expect("deleted");
    assert_eq!(listed(home, "many"), [("many/a/4".to_string(), 1)]);
    keys.iter().for_each(|key| home.put_new(key, &[b"y"]).expect("what was deleted can be made again"));
}

fn settling(home: &Home, other: &Home) {
    home.settle(&key("settling")).expect("a folder that is not there is settled");
    home.put(&key("settling/a/b"), &[b"x"]).expect("put");
    for folder in ["settling", "settling/a", "settling/a/b", "settling/a/b/c", "settling/d"] {
        (0..2).for_each(|_| other.settle(&key(folder)).expect("settled"));
        assert_eq!(listed(home, "settling"), [("settling/a/b".to_string(), 1)]);
    }
    home.delete(&key("settling/a/b")).expect("delete");
    other.settle(&key("settling/a")).expect("an empty folder can be settled");
    assert_eq!(listed(other, "settling"), []);
}

fn listing(home: &Home, other: &Home) {
    // In the order of bytes `-` and `.` come before `/`, and `0` after it.
    let names = ["a-b/c", "a.b/c", "a/b-/d", "a/b.c", "a/b/c", "a/b/c-d", "a/b0", "a0/c", "ab/c", "b/a/c"];
    for (n, name) in names.iter().enumerate().rev() {
        home.put(&key(name), &[&body(n, 0)]).expect("put");
        assert_eq!(listed(other, name.rsplit_once('/').expect("a folder").0).len(), listed_under(&names[n..], name));
    }
    let under = |prefix: &str| {
        let inside = names.iter().enumerate().filter(|(_, name)| name.starts_with(&format!("{prefix}/")));
        inside.map(|(n, name)| (name.to_string(), n as u64)).collect::<Vec<_>>()
    };
    for prefix in ["a", "a/b", "a/b-", "a-b", "ab", "b", "b/a", "b/a/c", "c", "a/c", "a0"] {
        assert_eq!(listed(other, prefix), under(prefix), "under {prefix}");
    }
    assert_eq!(under("a").len(), 5);
    home.delete(&key("a/b0")).expect("delete");
    assert_eq!(listed(other, "a").len(), 4);
}

/// How many of `names` are in the folder of `name`, or below.
fn listed_under(names: &[&str], name: &str) -> usize {
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    names.iter().filter(|other| other.starts_with(&format!("{folder}/"))).count()
}

fn many(home: &Home, other: &Home) {
    const MANY: usize = 2345;
    let name = |n: usize| format!("many/{:02x}/{n:05}", n % 3);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let put = move |n: usize| home.put_new(&key(&name(n)), &[&body(n % 5, 0)]).expect("put");
            scope.spawn(move || (thread..MANY).step_by(8).for_each(put));
        }
    });
    let mut expected: Vec<_> = (0..MANY).map(|n| (name(n), (n % 5) as u64)).collect();
    expected.sort();
    assert!(listed(other, "many") == expected, "{} are listed", listed(other, "many").len());
    assert_eq!(listed(other, "many/01").len(), MANY.div_ceil(3) - 1 + usize::from(MANY % 3 == 2));
}

fn one_winner(home: &Home, other: &Home) {
    for round in 0..20 {
        let key = key(&format!("race/{round}"));
        let start = Barrier::new(8);
        let enter = |n: u8| {
            start.wait();
            let home = if n.is_multiple_of(2) { home } else { other };
            home.put_new(&key, &[&body(3000 + usize::from(n), n)])
        };
        let enter = &enter;
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || enter(n))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let winners: Vec<u8> = (0..8).filter(|n| results[usize::from(*n)].is_ok()).collect();
        let losers = results.iter().filter(|result| matches!(result, Err(ObjectError::Exists(_)))).count();
        assert!(winners.len() == 1 && losers == 7, "round {round}: {results:?}");
        let expected = body(3000 + usize::from(winners[0]), winners[0]);
        assert!(home.get(&key).expect("get") == expected, "round {round}: what is there is the winner's");
    }
}

fn readers(home: &Home, other: &Home) {
    let key = key("readers/a");
    // Bytes that are all the same, and tell how many there are.
    let of = |n: usize| vec![n as u8; 1000 * (1 + n % 5) + 1];
    let is_whole = |bytes: &[u8]| bytes.first().is_some_and(|n| *bytes == of(usize::from(*n)));
    home.put(&key, &[&of(0)]).expect("put");
    let writers = AtomicUsize::new(2);
    let write = |home: &Home, n: usize| {
        let done: Result<(), _> = (0..60).try_for_each(|at| home.put(&key, &[&of(2 * at + n)]));
        writers.fetch_sub(1, Ordering::SeqCst);
        done.expect("put");
    };
    let read = |home: &Home| {
        assert!(is_whole(&home.get(&key).expect("get")), "an object is whole");
        let listed = listed(home, "readers");
        assert!(listed.len() == 1 && listed[0].1 % 1000 == 1, "{listed:?}");
        let object = home.open(&key).expect("an object that is replaced is always there");
        let mut bytes = vec![0; object.size() as usize];
        let (head, tail) = bytes.split_at_mut(500);
        let read = object.read_at(500, tail).and_then(|()| object.read_at(0, head));
        assert!(is_not_found(read) || is_whole(&bytes), "an object never changes under its reader");
    };
    let read_meanwhile = |home: &Home| {
        read(home);
        while writers.load(Ordering::SeqCst) > 0 {
            read(home);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| write(home, 0));
        scope.spawn(|| write(other, 1));
        scope.spawn(|| read_meanwhile(home));
        scope.spawn(|| read_meanwhile(other));
    });
}

fn opened(home: &Home, other: &Home) {
    let key = key("opened/a");
    home.put(&key, &[&body(9000, 1)]).expect("put");
    let object = home.open(&key).expect("open");
    let check = || {
        let mut bytes = vec![0; 4000];
        match object.read_at(5000, &mut bytes) {
            Err(ObjectError::NotFound(_)) => {
                assert!(!home.abilities().local, "a local home keeps what is open")
            }
            read => {
                read.expect("read");
                assert!(bytes == body(9000, 1)[5000..], "an object never changes under its reader");
            }
        }
    };
    other.put(&key, &[&body(9000, 2)]).expect("put");
    check();
    other.delete(&key).expect("delete");
    check();
}

fn big(home: &Home, other: &Home) {
    const MIB: usize = 1 << 20;
    for (name, len) in [("big/a", 16 * MIB), ("big/b", 16 * MIB + 5), ("big/c", 33 * MIB + 1)] {
        let (key, body) = (key(name), body(len, 7));
        let parts: Vec<&[u8]> = body.chunks(3 * MIB + 1).collect();
        home.put_new(&key, &parts).expect("put_new");
        assert!(matches!(other.put_new(&key, &parts), Err(ObjectError::Exists(_))), "{name} is there");
        assert!(other.get(&key).expect("get") == body, "{name}");
        let object = other.open(&key).expect("open");
        let mut bytes = vec![0; MIB];
        object.read_at((len - MIB) as u64, &mut bytes).expect("read");
        assert!(object.size() == len as u64 && bytes == body[len - MIB..]);
        home.put(&key, &[&body[..len - 1], b"!"]).expect("put replaces a big one too");
        assert!(other.get(&key).expect("get").ends_with(b"!"));
    }
}
