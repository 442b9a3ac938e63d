//! By which address people reach this site: what links, slips and screens say. A request's `Host` is whatever somebody wrote
//! there, and is never followed.

use crate::app::App;

/// The address, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Site {
    /// The operator has said it: scheme, host and port.
    Said(String),
    /// Where we listen, which people may reach by another one.
    Bound(String),
    /// Nobody has said it, and we listen at every address of this machine.
    Unknown,
}

impl Site {
    pub fn of(app: &App) -> Site {
        if let Some(url) = &app.config.public_url {
            return Site::Said(url.clone());
        }
        let scheme = if app.config.is_https() { "https" } else { "http" };
        let bound = app.bound();
        match bound.ip().is_unspecified() || bound.port() == 0 {
            true => Site::Unknown,
            false => Site::Bound(format!("{scheme}://{bound}")),
        }
    }

    /// A page of this site: a whole address, or where none is known its path.
    pub fn link(&self, path: &str) -> String {
        match self {
            Site::Said(origin) | Site::Bound(origin) => format!("{origin}{path}"),
            Site::Unknown => path.to_owned(),
        }
    }

    /// What an organiser has to know of its links.
    pub fn doubt(&self) -> Option<&'static str> {
        match self {
            Site::Said(_) => None,
            Site::Bound(_) => Some(
                "This is where the dashboard listens. If people reach it by another address, start it with --public-url.",
            ),
            Site::Unknown => Some(
                "The dashboard does not know its own address: put it before this path, or start it with --public-url.",
            ),
        }
    }

    /// What a person types, without a scheme; nothing where none is known.
    pub fn typed(&self) -> Option<&str> {
        match self {
            Site::Said(origin) | Site::Bound(origin) => origin.split_once("://").map(|(_, typed)| typed),
            Site::Unknown => None,
        }
    }

    /// What a phone can open: nothing where none is known.
    pub fn url(&self, path: &str) -> Option<String> {
        match self {
            Site::Unknown => None,
            known => Some(known.link(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_said_and_not_made_up() {
        let said = Site::Said("https://scores.example.org".to_owned());
        assert_eq!((said.link("/register"), said.doubt()), ("https://scores.example.org/register".to_owned(), None));
        let bound = Site::Bound("http://[::1]:8000".to_owned());
        assert_eq!((bound.link("/x"), bound.typed()), ("http://[::1]:8000/x".to_owned(), Some("[::1]:8000")));
        assert!(bound.doubt().is_some_and(|doubt| doubt.contains("--public-url")));
        assert_eq!((Site::Unknown.link("/x"), Site::Unknown.url("/x")), ("/x".to_owned(), None));
        assert!(Site::Unknown.doubt().is_some_and(|doubt| doubt.contains("--public-url")));
    }
}
