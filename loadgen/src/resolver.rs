//! Names resolved again while a round runs.
