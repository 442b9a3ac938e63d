//! A contestant's address: `host[:port][/path]`, with or without a scheme before it, shown back normalised.
//!
//! One parser, the URL standard's, decides what an address means, so that no two parts of the system disagree
//! about it. Which addresses may be flooded is a question of policy and is not answered here.

use crate::address::comparable_ip;
use flowtest_contract::text::is_hidden;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use url::Url;

/// Longest endpoint, in bytes, before and after normalising. Its request head must fit the limits of common servers.
pub const ENDPOINT_BYTES_MAX: usize = 2048;

/// What is spoken with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    /// The same over TLS.
    Https,
}

impl Scheme {
    /// The port that need not be said.
    pub fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// Where requests go. Always valid.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub scheme: Scheme,
    pub host: Host,
    pub port: u16,
    /// Starts with a slash, percent-encoded where needed.
    pub path_and_query: String,
}

/// A name stays a name: who connects resolves it, again and again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// Why a text is no endpoint. What stands before an @ may be a password, so no message repeats it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error("the endpoint is empty: write host[:port][/path], such as 10.0.0.7:8080/shop")]
    Empty,
    #[error("the endpoint is longer than {ENDPOINT_BYTES_MAX} bytes: shorten its path")]
    Long,
    #[error(
        "endpoint {0:?} holds a space, a backslash, or a control or hidden character: percent-encode it or leave it out"
    )]
    Character(String),
    #[error(
        "endpoint {0:?} is neither http nor https: write host[:port][/path], which means http://, or https://host[:port][/path]"
    )]
    Scheme(String),
    #[error("endpoint {0:?} has no host: write host[:port][/path], with an IPv6 address in brackets")]
    Host(String),
    #[error("the endpoint carries a user name or password: leave out what stands before the @")]
    Userinfo,
    #[error("endpoint {0:?} has a fragment, which never reaches a server: leave out what stands after the #")]
    Fragment(String),
    #[error("endpoint {0:?} has port 0: give the port that the server listens on, or none for 80, of https 443")]
    Port(String),
    #[error("endpoint {0:?} has a percent sign in its host: write the host as it is, without a zone or an encoding")]
    Percent(String),
    #[error(
        "endpoint {0:?} could mean more than one address, for programs read it differently: write {1} if you mean that"
    )]
    Ambiguous(String, String),
    #[error("endpoint {0:?} ends its host with a dot: leave the dot out")]
    Dot(String),
    #[error(
        "endpoint {0:?} has a name that DNS cannot hold: each part between dots has 1 to 63 characters, all of it 253"
    )]
    Name(String),
    #[error("endpoint {0:?} is no address: {1}; write host[:port][/path]")]
    Syntax(String, url::ParseError),
}

impl Endpoint {
    /// The server that is meant, whatever the scheme and the path: two endpoints with one server are one contestant's. An
    /// address in the form in which addresses are compared; of a name nobody knows more before it is resolved.
    pub fn server(&self) -> (Host, u16) {
        let host = match &self.host {
            Host::Name(name) => Host::Name(name.clone()),
            Host::V4(address) => Host::V4(*address),
            Host::V6(address) => match comparable_ip((*address).into()) {
                IpAddr::V4(inside) => Host::V4(inside),
                IpAddr::V6(address) => Host::V6(address),
            },
        };
        (host, self.port)
    }

    /// The value of the `Host` header: without the port when it is the scheme's.
    pub fn host_header(&self) -> String {
        if self.port == self.scheme.port() { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        read(text)
    }
}

fn read(text: &str) -> Result<Endpoint, EndpointError> {
    if text.is_empty() {
        return Err(EndpointError::Empty);
    }
    if text.len() > ENDPOINT_BYTES_MAX {
        return Err(EndpointError::Long);
    }
    // What stands before the last @ is never shown: with a slash in a password it may lie behind the host.
    let shown = || text.rsplit('@').next().unwrap_or(text).chars().take(80).collect::<String>();
    let (scheme, rest) = match text.split_once("://") {
        // A query may hold "://"; what stands before it is then no scheme.
        Some((scheme, rest)) if !scheme.contains(['/', '?', '#']) => (Some(scheme), rest),
        _ => (None, text),
    };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or(rest);
    if authority.contains('@') {
        return Err(EndpointError::Userinfo);
    }
    // The URL parser drops or turns these in silence; who typed one meant something else.
    if text.chars().any(|c| c.is_whitespace() || is_hidden(c) || c == '\\') {
        return Err(EndpointError::Character(shown()));
    }
    let scheme = match scheme {
        Some(_) | None if has_one_slash(text) => return Err(EndpointError::Scheme(shown())),
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
        Some(scheme) if !scheme.eq_ignore_ascii_case("http") => return Err(EndpointError::Scheme(shown())),
        _ => Scheme::Http,
    };
    // The parser skips slashes before a host, so that a bare path would become one.
    if authority.is_empty() || authority.starts_with(':') {
        return Err(EndpointError::Host(shown()));
    }
    if authority.contains('%') {
        return Err(EndpointError::Percent(shown()));
    }
    let url =
        Url::parse(&format!("{}://{rest}", scheme.as_str())).map_err(|error| EndpointError::Syntax(shown(), error))?;
    if url.fragment().is_some() {
        return Err(EndpointError::Fragment(shown()));
    }
    let host = host(&url, authority, shown)?;
    let port = url.port().unwrap_or(scheme.port());
    if port == 0 {
        return Err(EndpointError::Port(shown()));
    }
    let path_and_query = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    // Percent-encoding makes a text up to nine times as long.
    if url.as_str().len() > ENDPOINT_BYTES_MAX {
        return Err(EndpointError::Long);
    }
    Ok(Endpoint { scheme, host, port, path_and_query })
}

/// The host of a URL, which was typed so.
fn host(url: &Url, authority: &str, shown: impl Fn() -> String) -> Result<Host, EndpointError> {
    match url.host() {
        Some(url::Host::Domain(name)) => name_of_dns(name, shown),
        Some(url::Host::Ipv4(address)) => {
            // 010.0.0.1 is 8.0.0.1 to some and 10.0.0.1 to others; 127.1 and 2130706433 are no addresses to many.
            let typed = authority.split(':').next().unwrap_or(authority);
            if typed != address.to_string() {
                return Err(EndpointError::Ambiguous(shown(), address.to_string()));
            }
            Ok(Host::V4(address))
        }
        Some(url::Host::Ipv6(address)) => match address.to_ipv4_mapped() {
            // Two texts of one address would be two contestants.
            Some(inside) => Err(EndpointError::Ambiguous(shown(), inside.to_string())),
            None => Ok(Host::V6(address)),
        },
        None => Err(EndpointError::Host(shown())),
    }
}

/// `http:/host` is a slip, and would be a host of the name `http`.
fn has_one_slash(text: &str) -> bool {
    let begins = |scheme: &str| {
        text.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
            && !text[scheme.len()..].starts_with('/')
    };
    begins("http:/") || begins("https:/")
}

/// A name that a resolver can be asked for.
fn name_of_dns(name: &str, shown: impl Fn() -> String) -> Result<Host, EndpointError> {
    if name.is_empty() {
        return Err(EndpointError::Host(shown()));
    }
    if name.ends_with('.') {
        return Err(EndpointError::Dot(shown()));
    }
    if name.len() > 253 || name.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return Err(EndpointError::Name(shown()));
    }
    Ok(Host::Name(name.to_owned()))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.as_str(), self.host_header(), self.path_and_query)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::V4(address) => write!(f, "{address}"),
            Host::V6(address) => write!(f, "[{address}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Endpoint, EndpointError> {
        text.parse()
    }

    #[test]
    fn https_has_a_port_of_its_own() {
        let cases = [
            ("https://example.com", "https://example.com/", "example.com", 443),
            ("HTTPS://example.com:443/a", "https://example.com/a", "example.com", 443),
            ("https://example.com:80", "https://example.com:80/", "example.com:80", 80),
            ("http://example.com:443", "http://example.com:443/", "example.com:443", 443),
            ("https://bücher.example", "https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443),
            ("https://[::1]:8443/x", "https://[::1]:8443/x", "[::1]:8443", 8443),
        ];
        for (typed, shown, host, port) in cases {
            let endpoint = parse(typed).unwrap_or_else(|error| panic!("{typed}: {error}"));
            assert_eq!(
                (endpoint.to_string(), endpoint.host_header(), endpoint.port),
                (shown.into(), host.into(), port)
            );
            assert_eq!(parse(&endpoint.to_string()), Ok(endpoint));
        }
        assert!(matches!(parse("https:/example.com"), Err(EndpointError::Scheme(_))));
        // One server, whatever is spoken with it.
        let server = |text: &str| parse(text).expect("an endpoint").server();
        assert_eq!(server("https://example.com:8443/a"), server("http://example.com:8443/b"));
        assert_ne!(server("https://example.com"), server("http://example.com"));
    }

    #[test]
    fn endpoints_are_shown_back_normalised() {
        // (as typed, as shown, the Host header)
        let cases = [
            ("127.0.0.1:8081", "http://127.0.0.1:8081/", "127.0.0.1:8081"),
            ("localhost:8081", "http://localhost:8081/", "localhost:8081"),
            ("Example.COM", "http://example.com/", "example.com"),
            ("http://example.com:80/", "http://example.com/", "example.com"),
            ("HTTP://example.com/a/../b?x=1", "http://example.com/b?x=1", "example.com"),
            ("[::1]:8080/x", "http://[::1]:8080/x", "[::1]:8080"),
            ("[0:0::1]", "http://[::1]/", "[::1]"),
            ("example.com?q", "http://example.com/?q", "example.com"),
            ("example.com/ä", "http://example.com/%C3%A4", "example.com"),
            ("bücher.example", "http://xn--bcher-kva.example/", "xn--bcher-kva.example"),
            ("example.com/?to=http://other", "http://example.com/?to=http://other", "example.com"),
            ("https:80", "http://https/", "https"),
        ];
        for (typed, shown, host) in cases {
            let endpoint = parse(typed).unwrap_or_else(|error| panic!("{typed}: {error}"));
            assert_eq!(endpoint.to_string(), shown);
            assert_eq!(endpoint.host_header(), host);
        }
        assert_eq!(parse("[::1]").expect("an address").host, Host::V6(Ipv6Addr::LOCALHOST));
        assert_eq!(parse("127.0.0.1").expect("an address").host, Host::V4(Ipv4Addr::LOCALHOST));
    }

    #[test]
    fn what_is_no_endpoint_is_named() {
        type Check = fn(&EndpointError) -> bool;
        let cases: &[(&str, Check)] = &[
            ("", |e| matches!(e, EndpointError::Empty)),
            ("ftp://example.com", |e| matches!(e, EndpointError::Scheme(_))),
            ("http:/example.com", |e| matches!(e, EndpointError::Scheme(_))),
            ("/path", |e| matches!(e, EndpointError::Host(_))),
            ("http:///path", |e| matches!(e, EndpointError::Host(_))),
            ("http://", |e| matches!(e, EndpointError::Host(_))),
            (":8080", |e| matches!(e, EndpointError::Host(_))),
            ("a b", |e| matches!(e, EndpointError::Character(_))),
            ("a\\b", |e| matches!(e, EndpointError::Character(_))),
            ("a\tb", |e| matches!(e, EndpointError::Character(_))),
            ("user@example.com", |e| matches!(e, EndpointError::Userinfo)),
            ("@example.com", |e| matches!(e, EndpointError::Userinfo)),
            ("user:word@example.com/x", |e| matches!(e, EndpointError::Userinfo)),
            ("example.com/#top", |e| matches!(e, EndpointError::Fragment(_))),
            ("example.com:0", |e| matches!(e, EndpointError::Port(_))),
            ("example.com:65536", |e| matches!(e, EndpointError::Syntax(..))),
            ("example.com:http", |e| matches!(e, EndpointError::Syntax(..))),
            ("300.1.1.1", |e| matches!(e, EndpointError::Syntax(..))),
            ("[::1", |e| matches!(e, EndpointError::Syntax(..))),
        ];
        for (text, check) in cases {
            let error = parse(text).expect_err(text);
            assert!(check(&error), "{text:?}: {error:?}");
        }
        for text in
            ["u:secret@h", "https://u:secret@h", "u:sec/secret@h:x", "u:secret@h o", "http:/u:secret@h", "u:secret @h#"]
        {
            let error = parse(text).expect_err(text);
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
        assert_eq!(parse(&format!("a/{}", "b".repeat(3000))), Err(EndpointError::Long));
        assert_eq!(parse(&format!("a/{}", "ä".repeat(1000))), Err(EndpointError::Long));
    }

    proptest! {
        #[test]
        fn any_text_is_an_endpoint_or_an_error(text in ".{0,60}") {
            if let Ok(endpoint) = parse(&text) {
                prop_assert_eq!(parse(&endpoint.to_string()), Ok(endpoint));
            }
        }

        #[test]
        fn the_normalised_form_means_the_same(text in "(http://)?[a-z0-9.\\[\\]]{1,12}(:[0-9]{1,5})?[/?a-z%=&.]{0,12}") {
            if let Ok(endpoint) = parse(&text) {
                prop_assert!(endpoint.path_and_query.starts_with('/'));
                prop_assert!(endpoint.path_and_query.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(parse(&endpoint.to_string()), Ok(endpoint));
            }
        }
    }
}
