//! The tables of `migrations/`, as diesel's typed queries know them.
//!
//! Owns no meaning: what a column is for stands in the migrations. A column added there is added here, in the same order.

diesel::table! {
    users (id) {
        id -> BigInt,
        name -> Text,
        #[sql_name = "shown"]
        display_name -> Text,
        role -> Text,
        password_hash -> Text,
        disabled -> Bool,
        hidden -> Bool,
        disqualified -> Nullable<Text>,
        created_at -> BigInt,
        last_login_at -> Nullable<BigInt>,
        category -> Nullable<Text>,
        contact -> Nullable<Text>,
    }
}

diesel::table! {
    sessions (id) {
        id -> BigInt,
        secret_hash -> Binary,
        user_id -> BigInt,
        address -> Text,
        agent -> Text,
        created_at -> BigInt,
        last_seen_at -> BigInt,
    }
}

diesel::table! {
    invites (id) {
        id -> BigInt,
        token_hash -> Binary,
        token -> Nullable<Text>,
        label -> Text,
        role -> Text,
        created_by -> Text,
        created_at -> BigInt,
        expires_at -> BigInt,
        revoked_at -> Nullable<BigInt>,
        used_at -> Nullable<BigInt>,
        used_by -> Nullable<BigInt>,
    }
}

diesel::table! {
    audit (id) {
        id -> BigInt,
        at -> BigInt,
        actor_id -> Nullable<BigInt>,
        actor_name -> Text,
        address -> Text,
        action -> Text,
        subject -> Text,
        before -> Nullable<Text>,
        after -> Nullable<Text>,
    }
}

diesel::table! {
    control (revision) {
        revision -> BigInt,
        document -> Text,
        what -> Text,
        by_name -> Text,
        at -> BigInt,
    }
}

diesel::table! {
    settings (name) {
        name -> Text,
        version -> BigInt,
        text -> Text,
        at -> BigInt,
    }
}

diesel::table! {
    endpoints (id) {
        id -> BigInt,
        user_id -> BigInt,
        endpoint -> Nullable<Text>,
        by_name -> Text,
        at -> BigInt,
    }
}

diesel::table! {
    rounds (id) {
        id -> Text,
        number -> BigInt,
        scored -> Bool,
        label -> Text,
        start_at -> Nullable<BigInt>,
        state -> Text,
        state_at -> BigInt,
        created_at -> BigInt,
        finished_at -> Nullable<BigInt>,
        seconds -> Nullable<BigInt>,
        valid_seconds -> Nullable<BigInt>,
        due -> Nullable<BigInt>,
        void -> Nullable<BigInt>,
        ruling -> Nullable<Text>,
        late_ms -> Nullable<BigInt>,
    }
}

diesel::table! {
    results (round_id, user_id) {
        round_id -> Text,
        user_id -> BigInt,
        name -> Text,
        rank -> BigInt,
        points -> BigInt,
        failures -> BigInt,
        p99_us -> Nullable<BigInt>,
        row -> Text,
        holds -> Nullable<BigInt>,
        climb -> Nullable<Text>,
    }
}

diesel::table! {
    history (round_id, at) {
        round_id -> Text,
        at -> BigInt,
        payload -> Binary,
    }
}

diesel::table! {
    adjustments (id) {
        id -> BigInt,
        user_id -> BigInt,
        points -> BigInt,
        reason -> Text,
        by_name -> Text,
        at -> BigInt,
        withdrawn_by -> Nullable<Text>,
        withdrawn_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    announcements (id) {
        id -> BigInt,
        level -> Text,
        text -> Text,
        by_name -> Text,
        at -> BigInt,
        ended_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    screens (id) {
        id -> BigInt,
        secret_hash -> Binary,
        label -> Text,
        by_name -> Text,
        at -> BigInt,
        revoked_at -> Nullable<BigInt>,
    }
}

diesel::joinable!(sessions -> users (user_id));
diesel::joinable!(invites -> users (used_by));
diesel::joinable!(endpoints -> users (user_id));
diesel::joinable!(results -> rounds (round_id));
diesel::joinable!(adjustments -> users (user_id));
diesel::allow_tables_to_appear_in_same_query!(users, sessions, invites, endpoints, rounds, results, adjustments);
