-- What the organiser sets, and what came of it.

-- Every revision of the control document; the greatest one is in force.
CREATE TABLE control (
    revision INTEGER NOT NULL PRIMARY KEY CHECK (revision >= 0),
    document TEXT NOT NULL CHECK (json_valid(document)),
    what     TEXT NOT NULL,
    by_name  TEXT NOT NULL,
    at       INTEGER NOT NULL CHECK (at >= 0)
) STRICT;

CREATE TABLE settings (
    name    TEXT NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 80),
    version INTEGER NOT NULL CHECK (version > 0),
    text    TEXT NOT NULL CHECK (json_valid(text)),
    at      INTEGER NOT NULL CHECK (at >= 0)
) STRICT, WITHOUT ROWID;

-- Every endpoint anybody ever had; the newest row of a user is in force, NULL means none.
CREATE TABLE endpoints (
    id       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    user_id  INTEGER NOT NULL REFERENCES users (id),
    endpoint TEXT CHECK (length(endpoint) BETWEEN 1 AND 2048),
    by_name  TEXT NOT NULL,
    at       INTEGER NOT NULL CHECK (at >= 0)
) STRICT;
CREATE INDEX endpoints_by_user ON endpoints (user_id, id);

CREATE TABLE rounds (
    id          TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 32 AND id NOT GLOB '*[^0-9a-f]*'),
    number      INTEGER NOT NULL UNIQUE CHECK (number > 0),
    scored      INTEGER NOT NULL CHECK (scored IN (0, 1)),
    label       TEXT NOT NULL CHECK (length(label) <= 80),
    start_at    INTEGER CHECK (start_at >= 0),
    state       TEXT NOT NULL CHECK (length(state) > 0),
    state_at    INTEGER NOT NULL CHECK (state_at >= 0),
    created_at  INTEGER NOT NULL CHECK (created_at >= 0),
    finished_at INTEGER CHECK (finished_at >= 0)
) STRICT, WITHOUT ROWID;

-- Standings of finished rounds. They never change; an adjustment is a line of its own.
CREATE TABLE results (
    round_id TEXT NOT NULL REFERENCES rounds (id),
    user_id  INTEGER NOT NULL REFERENCES users (id),
    name     TEXT NOT NULL,
    rank     INTEGER NOT NULL CHECK (rank > 0),
    points   INTEGER NOT NULL,
    failures INTEGER NOT NULL CHECK (failures >= 0),
    p99_us   INTEGER CHECK (p99_us >= 0),
    row      TEXT NOT NULL,
    PRIMARY KEY (round_id, user_id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER results_are_never_changed BEFORE UPDATE ON results
BEGIN SELECT RAISE(ABORT, 'results of a finished round never change'); END;

CREATE TRIGGER results_are_never_deleted BEFORE DELETE ON results
BEGIN SELECT RAISE(ABORT, 'results of a finished round never change'); END;

CREATE TRIGGER results_come_before_the_end BEFORE INSERT ON results
WHEN EXISTS (SELECT 1 FROM rounds WHERE id = NEW.round_id AND finished_at IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'results of a finished round never change'); END;

-- One row per second of a round; the bytes are the dashboard's.
CREATE TABLE history (
    round_id TEXT NOT NULL REFERENCES rounds (id),
    at       INTEGER NOT NULL CHECK (at >= 0),
    payload  BLOB NOT NULL,
    PRIMARY KEY (round_id, at)
) STRICT, WITHOUT ROWID;

CREATE TABLE adjustments (
    id           INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    user_id      INTEGER NOT NULL REFERENCES users (id),
    points       INTEGER NOT NULL CHECK (points <> 0),
    reason       TEXT NOT NULL CHECK (length(reason) BETWEEN 1 AND 200),
    by_name      TEXT NOT NULL,
    at           INTEGER NOT NULL CHECK (at >= 0),
    withdrawn_by TEXT,
    withdrawn_at INTEGER CHECK (withdrawn_at >= 0),
    CHECK ((withdrawn_by IS NULL) = (withdrawn_at IS NULL))
) STRICT;

CREATE TABLE announcements (
    id       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    level    TEXT NOT NULL CHECK (level IN ('info', 'warn')),
    text     TEXT NOT NULL CHECK (length(text) BETWEEN 1 AND 500),
    by_name  TEXT NOT NULL,
    at       INTEGER NOT NULL CHECK (at >= 0),
    ended_at INTEGER CHECK (ended_at >= 0)
) STRICT;

-- Links to the projector's view; of each secret only its SHA-256.
CREATE TABLE screens (
    id          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    secret_hash BLOB NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
    label       TEXT NOT NULL CHECK (length(label) <= 80),
    by_name     TEXT NOT NULL,
    at          INTEGER NOT NULL CHECK (at >= 0),
    revoked_at  INTEGER CHECK (revoked_at >= 0)
) STRICT;
