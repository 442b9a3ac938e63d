//! Numbers of things, each kind a type of its own, and tables that only their own kind opens. Pure.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Index, IndexMut};

/// A number of one kind of things, from 0.
pub trait Key: Copy {
    fn from_index(index: usize) -> Self;
    fn index(self) -> usize;

    /// All there may be, from the first.
    fn all() -> impl Iterator<Item = Self> {
        (0..).map(Self::from_index)
    }
}

/// A contestant's place in the roster of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct ContestantIndex(u32);

impl ContestantIndex {
    pub const FIRST: ContestantIndex = ContestantIndex(0);

    /// As the journal's records have it.
    #[inline]
    pub const fn in_records(self) -> u16 {
        self.0 as u16
    }
}

impl Key for ContestantIndex {
    #[inline]
    fn from_index(index: usize) -> ContestantIndex {
        ContestantIndex(index as u32)
    }

    #[inline]
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// A slot's number in its worker's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct RingSlot(u32);

impl RingSlot {
    #[inline]
    pub const fn from_number(number: u32) -> RingSlot {
        RingSlot(number)
    }

    #[inline]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for RingSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Key for RingSlot {
    #[inline]
    fn from_index(index: usize) -> RingSlot {
        RingSlot(index as u32)
    }

    #[inline]
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// A slot's number among those of its contestant in the same worker. Which slot of the ring that is, its contestant says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct LocalSlot(u32);

impl Key for LocalSlot {
    #[inline]
    fn from_index(index: usize) -> LocalSlot {
        LocalSlot(index as u32)
    }

    #[inline]
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// One item for each key, in their order.
#[derive(Clone, Debug)]
pub struct Table<K, T> {
    items: Vec<T>,
    key: PhantomData<K>,
}

impl<K: Key, T> Table<K, T> {
    /// So many copies.
    pub fn filled(item: T, count: usize) -> Table<K, T>
    where
        T: Clone,
    {
        vec![item; count].into()
    }

    pub fn keys(&self) -> impl Iterator<Item = K> + use<K, T> {
        K::all().take(self.items.len())
    }

    /// One more item, with the next key.
    pub fn push(&mut self, item: T) {
        self.items.push(item);
    }

    /// So many items at least; what is new is a copy of this one.
    pub fn grow(&mut self, count: usize, item: T)
    where
        T: Clone,
    {
        self.items.resize(count.max(self.items.len()), item);
    }

    #[inline]
    pub fn get(&self, key: K) -> Option<&T> {
        self.items.get(key.index())
    }
}

impl<K, T> Default for Table<K, T> {
    fn default() -> Table<K, T> {
        Vec::new().into()
    }
}

impl<K, T> From<Vec<T>> for Table<K, T> {
    fn from(items: Vec<T>) -> Table<K, T> {
        Table { items, key: PhantomData }
    }
}

impl<K, T> FromIterator<T> for Table<K, T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Table<K, T> {
        Vec::from_iter(items).into()
    }
}

impl<K: Key, T> Index<K> for Table<K, T> {
    type Output = T;

    #[inline]
    fn index(&self, key: K) -> &T {
        &self.items[key.index()]
    }
}

impl<K: Key, T> IndexMut<K> for Table<K, T> {
    #[inline]
    fn index_mut(&mut self, key: K) -> &mut T {
        &mut self.items[key.index()]
    }
}

impl<K, T> Deref for Table<K, T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<K, T> DerefMut for Table<K, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}
