//! HTTP/1.1 as this client speaks it.
