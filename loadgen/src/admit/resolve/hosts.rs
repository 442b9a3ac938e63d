//! Names and their addresses as the operator gives them, one by one or in a file, for closed networks and for tests.
//!
//! A file's syntax is that of `/etc/hosts`: an address, then its names; `#` begins a comment. A name on several lines has
//! all their addresses. A name found here is not asked from the system. It reads the file and decides nothing.

use flowtest_contract::text::shown;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Far more names than a contest has.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a hosts file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostsError {
    #[error("{path}: the hosts file cannot be read ({error}): check its path and permissions")]
    Unreadable { path: String, error: String },
    #[error(
        "{path}: the hosts file is longer than {FILE_BYTES_MAX} bytes or no UTF-8: give the names of this contest only"
    )]
    NoText { path: String },
    #[error(
        "{path}, line {line}: {word:?} is no address: write an IPv4 or IPv6 address without a zone, then its names"
    )]
    Address { path: String, line: usize, word: String },
    #[error("{path}, line {line}: the address has no name: write its names behind it, or remove the line")]
    Nameless { path: String, line: usize },
}

type Table = HashMap<String, Vec<IpAddr>>;

/// Where addresses come from that nobody asks the system for. As a flag: `NAME=ADDR`, or the path of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostsSource {
    File(PathBuf),
    Name { name: String, address: IpAddr },
}

impl FromStr for HostsSource {
    type Err = String;

    fn from_str(text: &str) -> Result<HostsSource, String> {
        match text.split_once('=') {
            // A path with an equals sign has a slash before it.
            Some((name, address)) if !name.contains('/') => match address.parse() {
                Ok(address) if !name.is_empty() => Ok(HostsSource::Name { name: name.to_ascii_lowercase(), address }),
                _ => Err("write NAME=ADDR, as in shop.test=127.0.0.1 or shop.test=::1, or the path of a hosts file"
                    .to_owned()),
            },
            _ => Ok(HostsSource::File(text.into())),
        }
    }
}

/// All sources as they were read last.
#[derive(Debug)]
pub struct Hosts {
    sources: Vec<HostsSource>,
    table: Mutex<Table>,
}

impl Hosts {
    /// Reads one file.
    pub fn open(path: &Path) -> Result<Hosts, HostsError> {
        Hosts::of(vec![HostsSource::File(path.to_owned())])
    }

    /// Reads all sources. A name that is in several has all their addresses.
    pub fn of(sources: Vec<HostsSource>) -> Result<Hosts, HostsError> {
        Ok(Hosts { table: Mutex::new(read_all(&sources)?), sources })
    }

    /// Reads them again. When that fails, what was read before stays.
    pub fn refresh(&self) -> Result<(), HostsError> {
        let table = read_all(&self.sources)?;
        *self.table.lock() = table;
        Ok(())
    }

    /// The addresses of a name, in the order of the file; `None` for names that are not in it.
    pub fn get(&self, name: &str) -> Option<Vec<IpAddr>> {
        let table = self.table.lock();
        table.get(&name.to_ascii_lowercase()).cloned()
    }
}

fn read_all(sources: &[HostsSource]) -> Result<Table, HostsError> {
    let mut table = Table::new();
    for source in sources {
        match source {
            HostsSource::File(path) => {
                for (name, addresses) in read(path)? {
                    table.entry(name).or_default().extend(addresses);
                }
            }
            HostsSource::Name { name, address } => table.entry(name.clone()).or_default().push(*address),
        }
    }
    Ok(table)
}

fn read(path: &Path) -> Result<Table, HostsError> {
    let shown = shown(path);
    let unreadable = |error: std::io::Error| HostsError::Unreadable { path: shown.clone(), error: error.to_string() };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    match String::from_utf8(bytes) {
        Ok(text) if text.len() as u64 <= FILE_BYTES_MAX => parse(&text, &shown),
        _ => Err(HostsError::NoText { path: shown }),
    }
}

fn parse(text: &str, path: &str) -> Result<Table, HostsError> {
    let mut table = Table::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(word) = words.next() else { continue };
        let (path, line) = (path.to_owned(), index + 1);
        let Ok(address) = word.parse::<IpAddr>() else {
            return Err(HostsError::Address { path, line, word: word.chars().take(80).collect() });
        };
        let mut names = words.peekable();
        if names.peek().is_none() {
            return Err(HostsError::Nameless { path, line });
        }
        for name in names {
            table.entry(name.to_ascii_lowercase()).or_default().push(address);
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_have_the_addresses_of_all_their_lines() {
        let text = "# ours\n10.0.0.1 alice.test web  # both\n\n\t10.0.0.2\tALICE.test\r\nfd00::1 bob.test\n";
        let table = parse(text, "hosts").expect("a hosts file");
        let of = |name: &str| table[name].iter().map(IpAddr::to_string).collect::<Vec<_>>();
        assert_eq!(of("alice.test"), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(of("bob.test"), ["fd00::1"]);
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, part) in [
            ("10.0.0.1 a\n10.0.0.300 b\n", "line 2: \"10.0.0.300\" is no address"),
            ("fe80::1%eth0 a\n", "line 1"),
            ("\n10.0.0.1 # a\n", "line 2: the address has no name"),
        ] {
            let error = parse(text, "hosts").expect_err(text).to_string();
            assert!(error.contains(part), "{error}");
        }
        let error = Hosts::open(Path::new("/no/such/file")).expect_err("missing").to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }

    #[test]
    fn names_are_given_one_by_one_and_by_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a=b");
        std::fs::write(&path, "10.0.0.2 shop.test\n").expect("written");
        let sources = ["Shop.test=10.0.0.1", path.to_str().expect("plain"), "six.test=fd00::1"];
        let hosts = Hosts::of(sources.map(|text| text.parse().expect(text)).to_vec()).expect("read");
        let of = |name: &str| hosts.get(name).expect(name).iter().map(IpAddr::to_string).collect::<Vec<_>>();
        assert_eq!(
            (of("SHOP.test"), of("six.test")),
            (vec!["10.0.0.1".into(), "10.0.0.2".into()], vec!["fd00::1".into()])
        );
        // no address, no name, a port, another name
        for wrong in ["shop.test=", "=10.0.0.1", "shop.test=10.0.0.1:80", "shop.test=other.test"] {
            assert!(wrong.parse::<HostsSource>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_that_becomes_unreadable_leaves_what_was_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hosts");
        std::fs::write(&path, "10.0.0.1 alice.test\n").expect("written");
        let hosts = Hosts::open(&path).expect("read");
        std::fs::write(&path, "10.0.0.2 alice.test\nnonsense\n").expect("written");
        assert!(hosts.refresh().is_err());
        assert_eq!(hosts.get("Alice.Test"), Some(vec![IpAddr::from([10, 0, 0, 1])]));
        std::fs::write(&path, "10.0.0.2 alice.test\n").expect("written");
        hosts.refresh().expect("read again");
        assert_eq!(hosts.get("alice.test"), Some(vec![IpAddr::from([10, 0, 0, 2])]));
        assert_eq!(hosts.get("bob.test"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_a_table_or_an_error(text in "[0-9a-f.:# \\n\\t%é]{0,60}") {
            let _ = parse(&text, "hosts");
        }
    }
}
