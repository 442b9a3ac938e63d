//! A few tokens to an endpoint, beside the flood.
