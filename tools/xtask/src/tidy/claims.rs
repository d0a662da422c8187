//! The table of invariants names tests that exist.

use std::collections::BTreeSet;

use super::Violation;

/// Where the table is.
const TABLE: &str = "docs/spec/update.md";

/// Tests of invariants, as the sources and as the table name them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    tests: BTreeSet<String>,
    listed: BTreeSet<String>,
}

impl Named {
    /// Reads one file.
    pub(crate) fn read(&mut self, path: &str, text: &str) {
        if path == TABLE {
            let quoted = text.split('`').skip(1).step_by(2);
            self.listed.extend(quoted.filter(|word| is_of_an_invariant(word)).map(str::to_owned));
        } else if path.ends_with(".rs") {
            let names =
                text.lines().filter_map(|line| line.trim_start().strip_prefix("fn ")?.split('(').next());
            self.tests.extend(names.filter(|name| is_of_an_invariant(name)).map(str::to_owned));
        }
    }

    /// Each test in the table exists, and each of the twenty invariants has one.
    pub(crate) fn check(&self) -> Vec<Violation> {
        let gone = self.listed.difference(&self.tests).map(|name| {
            Violation::new(TABLE, format!("no test is called `{name}`: mend the table of invariants"))
        });
        let bare = (1..=20)
            .map(|n| format!("i{n}_"))
            .filter(|start| !self.listed.iter().any(|name| name.starts_with(start)))
            .map(|start| Violation::new(TABLE, format!("the table lists no test `{start}...`")));
        gone.chain(bare).collect()
    }
}

/// `i7_a_page_is_erased_...`.
fn is_of_an_invariant(word: &str) -> bool {
    let number = word.strip_prefix('i').and_then(|rest| rest.split_once('_'));
    number.is_some_and(|(digits, rest)| digits.parse::<u8>().is_ok() && rest.len() > 8 && !rest.contains(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_test_that_is_gone_and_an_invariant_without_one_are_found() {
        let mut named = Named::default();
        let all: String = (1..=20).map(|n| format!("| `i{n}_something_holds` |\n")).collect();
        let tests: String = (1..=20).map(|n| format!("    fn i{n}_something_holds() {{\n")).collect();
        named.read(TABLE, &all);
        named.read("tests/any.rs", &tests);
        assert_eq!(named.check(), []);
        named.read(TABLE, "`i7_something_else_holds`");
        assert!(matches!(&named.check()[..], [one] if one.text.contains("i7_something_else_holds")));
        let mut none = Named::default();
        none.read("tests/any.rs", &tests);
        assert_eq!(none.check().len(), 20);
    }
}
