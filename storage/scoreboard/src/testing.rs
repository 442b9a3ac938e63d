//! A private redis-server for tests.
