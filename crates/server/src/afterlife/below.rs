//! A home within a home: the objects whose names begin with a folder's.
//!
//! Never knows: what they mean.

use std::sync::Arc;

use backstay_env::objects::{Abilities, Key, Listed, Object, ObjectError, Objects};

/// The objects below a folder of another home.
pub(crate) struct Below {
    home: Arc<dyn Objects>,
    folder: Key,
}

impl Below {
    pub(crate) fn new((home, folder): (Arc<dyn Objects>, Key)) -> Below {
        Below { home, folder }
    }

    /// Everything in it.
    pub(crate) fn all(&self) -> Result<Vec<Listed>, ObjectError> {
        Ok(self.shortened(self.home.list(&self.folder)?))
    }

    fn whole(&self, key: &Key) -> Key {
        Key::new(format!("{}/{key}", self.folder)).expect("two names make one")
    }

    fn shortened(&self, listed: Vec<Listed>) -> Vec<Listed> {
        let short = |name: &str| Key::new(name.strip_prefix(self.folder.as_str())?.strip_prefix('/')?);
        let all = listed.into_iter().filter_map(|one| Some(Listed { key: short(one.key.as_str())?, size: one.size }));
        all.collect()
    }
}

impl Objects for Below {
    fn abilities(&self) -> Abilities {
        self.home.abilities()
    }

    fn put(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError> {
        self.home.put(&self.whole(key), parts)
    }

    fn put_new(&self, key: &Key, parts: &[&[u8]]) -> Result<(), ObjectError> {
        self.home.put_new(&self.whole(key), parts)
    }

    fn get(&self, key: &Key) -> Result<Vec<u8>, ObjectError> {
        self.home.get(&self.whole(key))
    }

    fn open(&self, key: &Key) -> Result<Box<dyn Object>, ObjectError> {
        self.home.open(&self.whole(key))
    }

    fn list(&self, prefix: &Key) -> Result<Vec<Listed>, ObjectError> {
        Ok(self.shortened(self.home.list(&self.whole(prefix))?))
    }

    fn delete(&self, key: &Key) -> Result<(), ObjectError> {
        self.home.delete(&self.whole(key))
    }

    fn settle(&self, folder: &Key) -> Result<(), ObjectError> {
        self.home.settle(&self.whole(folder))
    }
}
