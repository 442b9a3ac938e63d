//! People, invitations, settings, rounds, history and the audit log, in SQLite.
