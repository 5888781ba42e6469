//! Lists that may not be long: an element can take a byte of a message and a hundred in memory, so more than a list may have is refused
//! before there is room for it.
//!
//! Never knows: what is listed.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// At most so many.
struct Few<const MOST: usize, T>(Vec<T>);

impl<'de, const MOST: usize, T: Deserialize<'de>> Deserialize<'de> for Few<MOST, T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Counting::<MOST, T>(PhantomData)).map(Few)
    }
}

struct Counting<const MOST: usize, T>(PhantomData<T>);

impl<'de, const MOST: usize, T: Deserialize<'de>> Visitor<'de> for Counting<MOST, T> {
    type Value = Vec<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "a list of at most {MOST}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut out = Vec::new();
        while let Some(next) = list.next_element()? {
            if out.len() == MOST {
                return Err(A::Error::invalid_length(MOST + 1, &self));
            }
            out.push(next);
        }
        Ok(out)
    }
}

/// A list of at most so many.
pub(super) fn few<'de, const MOST: usize, T, D>(from: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Few::<MOST, T>::deserialize(from).map(|few| few.0)
}

/// A list of at most so many lists of at most so many each.
pub(super) fn few_of_few<'de, const MOST: usize, const EACH: usize, N, T, D>(
    from: D,
) -> Result<Vec<(N, Vec<T>)>, D::Error>
where
    N: Deserialize<'de>,
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let lists = Few::<MOST, (N, Few<EACH, T>)>::deserialize(from)?;
    Ok(lists.0.into_iter().map(|(name, few)| (name, few.0)).collect())
}
