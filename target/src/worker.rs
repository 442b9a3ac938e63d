//! What the tasks of one worker share: its listener's, its clock's and its connections'.

use crate::certificates::Certificates;
use crate::config::{DriverKind, Limits};
use crate::deadlines::Deadlines;
use crate::responder::Responder;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// One worker, as its tasks see it.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) responder: RefCell<Responder>,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) limits: Limits,
    /// What the TLS port shows, where there is one.
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) driver: DriverKind,
    /// Whether each connection needs a second handle to be reset by.
    pub(crate) resets: bool,
}
