//! What Redis refuses of all that is no round: tests of endpoints, practice, the split. The round goes on, so each is told once,
//! and stands in the generator's health for as long as it lasts.

/// A sentence of each that does not work.
#[derive(Debug, Default)]
pub(super) struct Beside {
    pub(super) tests: Option<String>,
    pub(super) practice: Option<String>,
    pub(super) split: Option<String>,
    told: Option<String>,
}

impl Beside {
    pub(super) fn trouble(&self) -> Option<String> {
        let all: Vec<&str> =
            [&self.split, &self.tests, &self.practice].into_iter().flatten().map(String::as_str).collect();
        Some(all.join("; ")).filter(|text| !text.is_empty())
    }

    /// What is to be told, where it is another thing than before.
    pub(super) fn news(&mut self) -> Option<String> {
        let trouble = self.trouble();
        if trouble == self.told {
            return None;
        }
        self.told.clone_from(&trouble);
        Some(trouble.unwrap_or_else(|| "tests, practice and the split work again".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_told_once_and_so_is_its_end() {
        let mut beside = Beside::default();
        assert_eq!((beside.trouble(), beside.news()), (None, None));
        beside.tests = Some("no tests".to_owned());
        assert_eq!(beside.news().as_deref(), Some("no tests"));
        assert_eq!(beside.news(), None, "once");
        beside.split = Some("no split".to_owned());
        assert_eq!(beside.trouble().as_deref(), Some("no split; no tests"));
        assert_eq!(beside.news().as_deref(), Some("no split; no tests"));
        (beside.tests, beside.split) = (None, None);
        assert_eq!((beside.news().is_some(), beside.news(), beside.trouble()), (true, None, None));
    }
}
