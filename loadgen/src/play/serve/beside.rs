//! What Redis refuses of all that is no round: tests of endpoints, practice, the split. The round goes on, so each is told once,
//! and stands in the generator's health for as long as it lasts.

/// Why each does not work.
#[derive(Debug, Default)]
pub(super) struct Beside {
    pub(super) tests: Option<String>,
    pub(super) practice: Option<String>,
    pub(super) split: Option<String>,
    told: Option<String>,
}

impl Beside {
    pub(super) fn trouble(&self) -> Option<String> {
        let all = [
            ("the split cannot be looked after", &self.split),
            ("endpoints cannot be tested from here", &self.tests),
            ("practice cannot be taken", &self.practice),
        ];
        // One user has one list of rights: a cause that all have is said once.
        let mut told: Vec<(String, &str)> = Vec::new();
        for (what, cause) in all.into_iter().filter_map(|(what, cause)| Some((what, cause.as_deref()?))) {
            match told.iter_mut().find(|(_, known)| *known == cause) {
                Some((whats, _)) => *whats += &format!(", {what}"),
                None => told.push((what.to_owned(), cause)),
            }
        }
        let told: Vec<String> = told.iter().map(|(whats, cause)| format!("{whats}: {cause}")).collect();
        Some(told.join("; ")).filter(|text| !text.is_empty())
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
        beside.tests = Some("no key".to_owned());
        assert_eq!(beside.news().as_deref(), Some("endpoints cannot be tested from here: no key"));
        assert_eq!(beside.news(), None, "once");
        beside.split = Some("no key".to_owned());
        let both = "the split cannot be looked after, endpoints cannot be tested from here: no key";
        assert_eq!((beside.trouble().as_deref(), beside.news().as_deref()), (Some(both), Some(both)));
        beside.split = Some("no lease".to_owned());
        let both = "the split cannot be looked after: no lease; endpoints cannot be tested from here: no key";
        assert_eq!(beside.news().as_deref(), Some(both));
        (beside.tests, beside.split) = (None, None);
        assert_eq!((beside.news().is_some(), beside.news(), beside.trouble()), (true, None, None));
    }
}
