//! Comments say what the code below them does not.

use super::names::words_of;
use crate::sources::{assert_none, read, tracked_files};

/// Words by which nothing is told of whatever they stand beside.
const EMPTY: &[&str] = &[
    "a", "all", "an", "and", "are", "as", "at", "be", "by", "each", "for", "from", "has", "have", "how", "in", "is",
    "it", "its", "many", "of", "on", "one", "or", "our", "that", "the", "their", "these", "they", "this", "to", "we",
    "what", "whether", "which", "with",
];

/// The words of a text and of the names in it.
fn words(text: &str) -> impl Iterator<Item = String> {
    let names = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|name| !name.is_empty());
    names.flat_map(words_of)
}

/// What stands in backticks is a reference or a value, and not said again by a name.
fn says_nothing_new(comment: &str, declaration: &str) -> bool {
    let singular = |word: &str| word.strip_suffix('s').unwrap_or(word).to_owned();
    let declared: Vec<String> = words(declaration).map(|word| singular(&word)).collect();
    let is_known = |word: String| EMPTY.contains(&word.as_str()) || declared.contains(&singular(&word));
    !comment.contains('`') && words(comment).all(is_known)
}

/// The doc comments of one line, each with its number and the declaration below it. Those of flags are their help.
fn one_liners(text: &str) -> Vec<(usize, &str, &str)> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(comment) = line.strip_prefix("/// ") else { continue };
        let is_doc = |at: usize| lines.get(at).is_some_and(|line| line.starts_with("///"));
        let below = lines[index + 1..].iter().take_while(|line| line.starts_with("#["));
        let is_flag = below.clone().any(|line| line.starts_with("#[arg") || line.starts_with("#[command"));
        let declaration = lines.get(index + 1 + below.count());
        if !is_flag && !is_doc(index + 1) && !index.checked_sub(1).is_some_and(is_doc) {
            found.extend(declaration.map(|declaration| (index + 1, comment, *declaration)));
        }
    }
    found
}

#[test]
fn a_comment_says_more_than_the_name_below_it() {
    let mut found = Vec::new();
    for file in tracked_files().iter().filter(|file| file.ends_with(".rs")) {
        let text = read(file);
        let bare = one_liners(&text).into_iter().filter(|(_, comment, below)| says_nothing_new(comment, below));
        found.extend(bare.map(|(line, comment, below)| format!("{file}:{line}: {comment}  <- {below}")));
    }
    assert_none(&found, "comments that only repeat the name below them; say what it owns, or nothing:");
}

#[test]
fn what_repeats_a_name_is_seen() {
    // (comment, declaration, whether it says nothing new)
    let cases = [
        ("The wheel.", "pub struct Wheel {", true),
        ("The id of the database.", "database: StreamId,", true),
        ("Whether they are known.", "is_known: bool,", true),
        ("All of it.", "pub struct Facts {", true),
        ("As `Part`, of histograms.", "HistogramPart(StreamId),", false),
        ("Buckets that come up next.", "pub struct Wheel {", false),
    ];
    for (comment, declaration, is_bare) in cases {
        let text = format!("    /// {comment}\n    #[derive(Debug)]\n    {declaration}\n");
        assert_eq!(one_liners(&text), [(1, comment, declaration)]);
        assert_eq!(says_nothing_new(comment, declaration), is_bare, "{comment} {declaration}");
    }
    assert!(one_liners("/// The first\n/// of two.\nfn first() {}").is_empty());
    assert!(one_liners("/// The count.\n#[arg(long)]\ncount: u32,").is_empty());
}
