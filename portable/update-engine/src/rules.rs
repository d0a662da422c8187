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
    /// R7: a staged page stays until everything is written.
    const KEEPS_STAGED_PAGES: bool = true;
    /// R7: sealed old pages stay until the new version is kept.
    const KEEPS_OLD_PAGES_DURING_TRIALS: bool = true;
    /// A page is erased before it is programmed even if it reads as erased.
    const ERASES_WHAT_LOOKS_ERASED: bool = true;
    /// An apply that is given up is struck from the journal before its staging is used for something else.
    const STRIKES_OUT_LOST_APPLIES: bool = true;
    /// Once the application is stopped every page is looked at again.
    const LOOKS_AGAIN_ONCE_STOPPED: bool = true;
    /// Whatever changes hands is written down before the application is started, not after.
    const COUNTS_BEFORE_STARTING: bool = true;
    /// The page that the journal says may be torn is written again, whatever it reads as.
    const REWRITES_THE_PAGE_THAT_MAY_BE_TORN: bool = true;
    /// An apply is carried on however often power failed in it.
    const RESUMES_WITHOUT_END: bool = true;
    /// A key set is written beside the one that counts, never over it.
    const KEEPS_THE_KEY_SET_THAT_COUNTS: bool = true;
    /// In place, the ring reaches back over a whole segment, not just from the page that is decoded.
    const KEEPS_WHAT_A_SEGMENT_NEEDS: bool = true;
    /// In place, a page that may be torn is made from its old bytes in the ring, not from flash.
    const MAKES_TORN_PAGES_FROM_THE_RING: bool = true;
    /// In place, what was being sealed into the ring when power failed is sealed again, even if it opens.
    const SEALS_OLD_PAGES_AGAIN: bool = true;
    /// In place, the journal says that all pages before are whole before a place in the ring is used again.
    const SAYS_WHAT_IS_WHOLE: bool = true;
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

    /// Takes a page out of staging before it is written, as from a queue.
    #[derive(Clone, Copy, Debug)]
    pub struct ConsumeFirst;
    impl Sealed for ConsumeFirst {}
    impl Rules for ConsumeFirst {
        const KEEPS_STAGED_PAGES: bool = false;
    }

    /// Frees the old pages as soon as the new version runs, before anybody knows whether it works.
    #[derive(Clone, Copy, Debug)]
    pub struct EarlyFree;
    impl Sealed for EarlyFree {}
    impl Rules for EarlyFree {
        const KEEPS_OLD_PAGES_DURING_TRIALS: bool = false;
    }

    /// Spares the erase of a page that reads as erased.
    #[derive(Clone, Copy, Debug)]
    pub struct NoErase;
    impl Sealed for NoErase {}
    impl Rules for NoErase {
        const ERASES_WHAT_LOOKS_ERASED: bool = false;
    }

    /// Stages another update while the journal still names the one that could not be ended.
    #[derive(Clone, Copy, Debug)]
    pub struct NoInvalidate;
    impl Sealed for NoInvalidate {}
    impl Rules for NoInvalidate {
        const STRIKES_OUT_LOST_APPLIES: bool = false;
    }

    /// Applies what was staged without locking out whoever writes to the application's pages meanwhile.
    #[derive(Clone, Copy, Debug)]
    pub struct NoLock;
    impl Sealed for NoLock {}
    impl Rules for NoLock {
        const LOOKS_AGAIN_ONCE_STOPPED: bool = false;
    }

    /// Takes a start off the trial's account after the application was started.
    #[derive(Clone, Copy, Debug)]
    pub struct PopAfterSwitch;
    impl Sealed for PopAfterSwitch {}
    impl Rules for PopAfterSwitch {
        const COUNTS_BEFORE_STARTING: bool = false;
    }

    /// Resumes by copying what differs: the torn page is skipped if it reads well.
    #[derive(Clone, Copy, Debug)]
    pub struct ResumeByCopy;
    impl Sealed for ResumeByCopy {}
    impl Rules for ResumeByCopy {
        const REWRITES_THE_PAGE_THAT_MAY_BE_TORN: bool = false;
    }

    /// Writes a new key set over the one that counts.
    #[derive(Clone, Copy, Debug)]
    pub struct KeysOverwritten;
    impl Sealed for KeysOverwritten {}
    impl Rules for KeysOverwritten {
        const KEEPS_THE_KEY_SET_THAT_COUNTS: bool = false;
    }

    /// Turns round when power fails in an apply that was resumed before.
    #[derive(Clone, Copy, Debug)]
    pub struct RetryLimit;
    impl Sealed for RetryLimit {}
    impl Rules for RetryLimit {
        const RESUMES_WITHOUT_END: bool = false;
    }

    /// Counts the ring from the page that is decoded: what its segment needs is overwritten too early.
    #[derive(Clone, Copy, Debug)]
    pub struct RingTooShort;
    impl Sealed for RingTooShort {}
    impl Rules for RingTooShort {
        const KEEPS_WHAT_A_SEGMENT_NEEDS: bool = false;
    }

    /// Decodes a torn page from what it reads as.
    #[derive(Clone, Copy, Debug)]
    pub struct MadeFromTorn;
    impl Sealed for MadeFromTorn {}
    impl Rules for MadeFromTorn {
        const MAKES_TORN_PAGES_FROM_THE_RING: bool = false;
    }

    /// Takes an old page in the ring that reads well at this boot for one that reads well at every boot.
    #[derive(Clone, Copy, Debug)]
    pub struct TornRingTrusted;
    impl Sealed for TornRingTrusted {}
    impl Rules for TornRingTrusted {
        const SEALS_OLD_PAGES_AGAIN: bool = false;
    }

    /// Turns the ring while the journal still says that a page long past may be torn.
    #[derive(Clone, Copy, Debug)]
    pub struct RingTurnsUnsaid;
    impl Sealed for RingTurnsUnsaid {}
    impl Rules for RingTurnsUnsaid {
        const SAYS_WHAT_IS_WHOLE: bool = false;
    }
}
