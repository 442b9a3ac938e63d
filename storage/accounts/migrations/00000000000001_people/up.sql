-- Who may do what, and who did what. Instants are microseconds of UTC since 1970.

CREATE TABLE users (
    id            INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    name          TEXT NOT NULL COLLATE NOCASE UNIQUE
                  CHECK (length(name) BETWEEN 3 AND 30 AND name NOT GLOB '*[^A-Za-z0-9_-]*'),
    shown         TEXT NOT NULL CHECK (length(shown) BETWEEN 1 AND 40),
    role          TEXT NOT NULL CHECK (role IN ('admin', 'staff')),
    password_hash TEXT NOT NULL CHECK (password_hash GLOB '$argon2id$*'),
    disabled      INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    hidden        INTEGER NOT NULL DEFAULT 0 CHECK (hidden IN (0, 1)),
    disqualified  TEXT CHECK (length(disqualified) > 0),
    created_at    INTEGER NOT NULL CHECK (created_at >= 0),
    last_login_at INTEGER CHECK (last_login_at >= 0)
) STRICT;

-- Of the secret only its SHA-256 is here: whoever reads this file cannot log in with it.
CREATE TABLE sessions (
    id           INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    secret_hash  BLOB NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
    user_id      INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    address      TEXT NOT NULL,
    agent        TEXT NOT NULL,
    created_at   INTEGER NOT NULL CHECK (created_at >= 0),
    last_seen_at INTEGER NOT NULL CHECK (last_seen_at >= created_at)
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id);

-- The clear text stays only while the token can be redeemed, so that it can be handed out.
CREATE TABLE invites (
    id           INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    token_hash   BLOB NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    token        TEXT CHECK (length(token) > 0),
    label        TEXT NOT NULL CHECK (length(label) <= 80),
    role         TEXT NOT NULL CHECK (role IN ('admin', 'staff')),
    created_by   TEXT NOT NULL,
    created_at   INTEGER NOT NULL CHECK (created_at >= 0),
    expires_at   INTEGER NOT NULL CHECK (expires_at > created_at),
    revoked_at   INTEGER CHECK (revoked_at >= 0),
    used_at      INTEGER CHECK (used_at >= 0),
    used_by      INTEGER UNIQUE REFERENCES users (id),
    CHECK ((used_at IS NULL) = (used_by IS NULL)),
    CHECK (used_at IS NULL OR revoked_at IS NULL),
    CHECK (token IS NULL OR (used_at IS NULL AND revoked_at IS NULL))
) STRICT;

CREATE TABLE audit (
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL CHECK (at >= 0),
    actor_id   INTEGER REFERENCES users (id),
    actor_name TEXT NOT NULL,
    address    TEXT NOT NULL,
    action     TEXT NOT NULL CHECK (length(action) > 0),
    subject    TEXT NOT NULL,
    before     TEXT CHECK (json_valid(before)),
    after      TEXT CHECK (json_valid(after))
) STRICT;
CREATE INDEX audit_by_subject ON audit (subject, id);
CREATE INDEX audit_by_actor ON audit (actor_id, id);

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

-- INSERT OR REPLACE deletes without asking the trigger above, unless recursive_triggers is on.
CREATE TRIGGER audit_is_never_replaced BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
