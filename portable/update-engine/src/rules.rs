//! The rules an engine keeps, and engines that break one.

mod sealed {
    pub trait Sealed {}
}

/// Which rules an engine keeps. Sealed: a product uses [`Sound`] and nothing else.
pub trait Rules: sealed::Sealed {
    /// Intent is written to the journal before an application page is touched.
    const WRITES_JOURNAL: bool = true;
    /// R1 and R2: each power session writes to a journal page of its own.
    const OPENS_A_PAGE_EACH_SESSION: bool = true;
    /// Content decides: what a header says is checked against digests before it counts.
    const CHECKS_CONTENT: bool = true;
    /// What an earlier session may have left torn in staging is rewritten before it counts.
    const REWRITES_WHAT_MAY_BE_TORN: bool = true;
    /// A power session of a trial is written down before the application is started in it.
    const COUNTS_BOOTS_OF_TRIALS: bool = true;
}

/// Keeps every rule.
#[derive(Clone, Copy, Debug)]
pub struct Sound;
impl sealed::Sealed for Sound {}
impl Rules for Sound {}

/// Engines with one deliberate mistake each, for the power-cut suite to catch.
#[cfg(feature = "seeded-bugs")]
pub mod seeded_bugs {
    use super::{Rules, sealed::Sealed};

    /// Touches application pages without having written what it is about to do.
    #[derive(Clone, Copy, Debug)]
    pub struct NoJournal;
    impl Sealed for NoJournal {}
    impl Rules for NoJournal {
        const WRITES_JOURNAL: bool = false;
    }

    /// Goes on in the journal page of an earlier power session, as most boot loaders do.
    #[derive(Clone, Copy, Debug)]
    pub struct SurvivingMarks;
    impl Sealed for SurvivingMarks {}
    impl Rules for SurvivingMarks {
        const OPENS_A_PAGE_EACH_SESSION: bool = false;
    }

    /// Takes a readable header for proof of what follows it.
    #[derive(Clone, Copy, Debug)]
    pub struct HeaderTrusted;
    impl Sealed for HeaderTrusted {}
    impl Rules for HeaderTrusted {
        const CHECKS_CONTENT: bool = false;
    }

    /// Gives a new version that crashes the device another chance at every start, for ever.
    #[derive(Clone, Copy, Debug)]
    pub struct NaiveCounter;
    impl Sealed for NaiveCounter {}
    impl Rules for NaiveCounter {
        const COUNTS_BOOTS_OF_TRIALS: bool = false;
    }

    /// Takes a staged page that reads well at this boot for one that reads well at every boot.
    #[derive(Clone, Copy, Debug)]
    pub struct TornStagingTrusted;
    impl Sealed for TornStagingTrusted {}
    impl Rules for TornStagingTrusted {
        const REWRITES_WHAT_MAY_BE_TORN: bool = false;
    }
}
