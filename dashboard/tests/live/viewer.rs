//! What a page makes of frames: a snapshot replaces all it knows, a delta changes rows of the frame before.

use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Picture {
    pub(crate) who: Value,
    /// By key, without it.
    pub(crate) rows: BTreeMap<String, Vec<Value>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    pub(crate) seq: Option<u64>,
    pub(crate) picture: Picture,
    /// The last frame without its rows.
    pub(crate) head: Value,
    pub(crate) snapshots: usize,
    pub(crate) deltas: usize,
}

impl Page {
    pub(crate) fn take(&mut self, text: &str) {
        let frame: Value = serde_json::from_str(text).expect("frames are JSON");
        let seq = frame["q"].as_u64().expect("a number");
        match frame["kind"].as_str().expect("a text") {
            "snapshot" => {
                self.snapshots += 1;
                self.picture = Picture { who: frame["who"].clone(), rows: BTreeMap::new() };
            }
            "delta" => {
                self.deltas += 1;
                assert_eq!(Some(seq - 1), self.seq, "a delta applies to the frame before");
                assert!(frame.get("who").is_none(), "names come with snapshots");
            }
            kind => panic!("no such kind: {kind}"),
        }
        for row in frame["rows"].as_array().expect("a list") {
            let row = row.as_array().expect("a list");
            assert_eq!(row.len(), 11, "{row:?}");
            let key = row[0].as_str().expect("a key").to_owned();
            self.picture.rows.insert(key, row[1..].to_vec());
        }
        self.seq = Some(seq);
        self.head = frame;
        self.head.as_object_mut().expect("an object").remove("rows");
    }

    pub(crate) fn points(&self, key: &str) -> Option<i64> {
        self.picture.rows.get(key)?[2].as_i64()
    }

    pub(crate) fn link(&self) -> &str {
        self.head["link"].as_str().expect("a text")
    }
}

/// What a snapshot alone shows.
pub(crate) fn picture(text: &str) -> Picture {
    let mut page = Page::default();
    page.take(text);
    assert_eq!(page.snapshots, 1, "a snapshot");
    page.picture
}
