//! The suite must fail on a home that breaks a guarantee: each of these has one bug.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use backstay_env::objects::{Abilities, Key, Listed, Object, ObjectError, Objects};
use backstay_env::sim::objects::SimObjects;
use backstay_env::suite;

#[derive(Clone, Copy, Debug)]
enum Bug {
    None,
    NewReplaces,
    LooksThenWrites,
    ListsByText,
    ListsUnsorted,
    ListsOnePage,
    DeletesOnce,
    DropsManyParts,
    IgnoresTheEnd,
    TearsReplacements,
    MissesFolders,
}

struct Buggy(SimObjects, Bug);

impl Objects for Buggy {
    fn abilities(&self) -> Abilities {
        self.0.abilities()
    }

    fn put(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError> {
        if let Bug::TearsReplacements = self.1 {
            let whole = parts.concat();
            self.0.put(key, &[&whole[..whole.len() / 2]])?;
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        self.0.put(key, parts)
    }

    fn put_new(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError> {
        match self.1 {
            Bug::NewReplaces => self.0.put(key, parts),
            Bug::LooksThenWrites => match self.0.get(key) {
                Ok(_) => Err(ObjectError::Exists(key.clone())),
                Err(_) => {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                    self.0.put(key, parts)
                }
            },
            Bug::DropsManyParts => self.0.put_new(key, &parts[..parts.len().min(1000)]),
            _ => self.0.put_new(key, parts),
        }
    }

    fn get(&self, key: &Key) -> Result<Vec<u8>, ObjectError> {
        self.0.get(key)
    }

    fn open(&self, key: &Key) -> Result<Box<dyn Object>, ObjectError> {
        let object = self.0.open(key)?;
        match self.1 {
            Bug::IgnoresTheEnd => Ok(Box::new(Endless(object))),
            _ => Ok(object),
        }
    }

    fn list(&self, prefix: &Key) -> Result<Vec<Listed>, ObjectError> {
        let mut listed = self.0.list(prefix)?;
        match self.1 {
            Bug::ListsByText => {
                let first = prefix.as_str().split('/').next().unwrap_or("");
                for length in 1..=2 {
                    let other = Key::new(format!("{first}{}", "-b".repeat(length))).unwrap();
                    listed.extend(self.0.list(&other)?);
                }
            }
            Bug::ListsUnsorted => listed.reverse(),
            Bug::ListsOnePage => listed.truncate(1000),
            _ => {}
        }
        Ok(listed)
    }

    fn delete(&self, key: &Key) -> Result<(), ObjectError> {
        if let Bug::DeletesOnce = self.1 {
            self.0.get(key)?;
        }
        self.0.delete(key)
    }

    fn settle(&self, folder: &Key) -> Result<(), ObjectError> {
        if let Bug::MissesFolders = self.1 {
            let inside = self.0.list(folder)?;
            return inside.first().map(|_| ()).ok_or_else(|| ObjectError::NotFound(folder.clone()));
        }
        self.0.settle(folder)
    }
}

struct Endless(Box<dyn Object>);

impl Object for Endless {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ObjectError> {
        let left = self.size().saturating_sub(offset).min(buf.len() as u64);
        self.0.read_at(offset.min(self.size()), &mut buf[..left as usize])
    }
}

fn passes(bug: Bug) -> bool {
    let homes: Mutex<BTreeMap<String, SimObjects>> = Mutex::default();
    let make = |name: &str| -> suite::Home {
        let mut homes = homes.lock().unwrap();
        let home = homes.entry(name.to_string()).or_insert_with(|| SimObjects::seeded(7));
        Arc::new(Buggy(home.another_process(), bug))
    };
    catch_unwind(AssertUnwindSafe(|| suite::objects(make))).is_ok()
}

#[test]
fn the_suite_finds_planted_bugs() {
    assert!(passes(Bug::None));
    for bug in [
        Bug::NewReplaces,
        Bug::LooksThenWrites,
        Bug::ListsByText,
        Bug::ListsUnsorted,
        Bug::ListsOnePage,
        Bug::DeletesOnce,
        Bug::DropsManyParts,
        Bug::IgnoresTheEnd,
        Bug::TearsReplacements,
        Bug::MissesFolders,
    ] {
        assert!(!passes(bug), "{bug:?} was not found");
    }
}
