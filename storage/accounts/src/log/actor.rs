//! Who does something, as the audit log tells it.

use crate::store::ids::UserId;
use serde::{Deserialize, Serialize};

/// The person, program or stranger behind a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// None: nobody is logged in, or it was done from the command line.
    pub user: Option<UserId>,
    /// The login name, or what stands for one.
    pub name: String,
    /// Where the request came from, as text; at most 100 characters are kept.
    pub address: String,
}

impl Actor {
    /// Somebody who is not logged in: at the login and register pages.
    pub fn nobody(address: impl Into<String>) -> Actor {
        Actor { user: None, name: "nobody".to_owned(), address: address.into() }
    }

    /// Whoever has a shell on the dashboard's host.
    pub fn command_line() -> Actor {
        Actor { user: None, name: "command line".to_owned(), address: "local".to_owned() }
    }

    /// The dashboard itself, such as when it seals a round.
    pub fn program() -> Actor {
        Actor { user: None, name: "dashboard".to_owned(), address: "local".to_owned() }
    }
}
