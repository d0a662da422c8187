//! Structs and constants shared with the application. All are little-endian with 32-bit fields first.

use crate::record::record;

/// Version of [`UpdateStatus`]. Version 1 ended behind `pages_total` and is still filled for who asks for it.
pub const UPDATE_STATUS_VERSION: u32 = 2;

/// Length of version 1 of [`UpdateStatus`] in bytes.
pub const UPDATE_STATUS_1_LEN: usize = 16;

/// Version of [`StorageInfo`].
pub const STORAGE_INFO_VERSION: u32 = 1;

record! {
    /// Where an update stands.
    UpdateStatus "bh_update_status" 32 {
        version, "in: BH_UPDATE_STATUS_VERSION";
        stage, "a BH_UPDATE_STAGE_ value";
        pages_done, "in this stage";
        pages_total, "of this stage";
        pages_to_write, "once it is ready: those that applying it will write";
        downtime_ms, "once it is ready: how long the application will stand still, as an estimate";
        apply_in_s, "once it is ready: unless it is postponed further; else 0xFFFFFFFF";
        postpone_left_s, "once it is ready: no later than so many seconds from now";
    }
}

record! {
    /// What an application may do with an area of its own.
    StorageInfo "bh_storage_info" 16 {
        version, "in: BH_STORAGE_INFO_VERSION";
        length_bytes, "of the area";
        erase_bytes, "that one erase clears; erases start at a multiple of it";
        transfer_bytes_max, "that one call reads or writes";
    }
}

record! {
    /// Something that the application may want to know.
    Notification "bh_notification" 16 {
        at_us: u64, "since power came on";
        kind, "a BH_NOTIFICATION_ value";
        value, "what it means depends on the kind";
    }
}

macro_rules! numbers {
    ($(#[$doc:meta])* $name:ident $prefix:literal { $($variant:ident = $value:literal, $c:literal, $vdoc:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[repr(u32)]
        pub enum $name { $(#[doc = $vdoc] $variant = $value),* }

        impl $name {
            /// Name prefix of the group in C.
            pub const C_PREFIX: &'static str = $prefix;
            /// Value, C name without prefix, meaning.
            pub const ALL: &'static [(u32, &'static str, &'static str)] = &[$(($value, $c, $vdoc)),*];
        }
    };
}
pub(crate) use numbers;

numbers! {
    /// Kinds of notification.
    NotificationKind "BH_NOTIFICATION_" {
        NetworkChanged = 1, "NETWORK_CHANGED", "The link came up (value 1) or went down (value 0).";
        UpdateProgress = 2, "UPDATE_PROGRESS", "The update entered the stage in value.";
        UpdateReady = 3, "UPDATE_READY", "An update is staged; value is the pages to be written. Apply or postpone.";
        ClockSet = 4, "CLOCK_SET", "The wall clock became known or was corrected.";
        StorageDone = 5, "STORAGE_DONE", "What was begun on the application's own storage has ended; value is its BH_STATUS_.";
        SocketChanged = 6, "SOCKET_CHANGED", "Something rose on a socket; value is its handle and, in bits 31 to 24, BH_SOCKET_EVENT_ bits.";
        MessageArrived = 14, "MESSAGE_ARRIVED", "A message of the owner's has come; value is its id.";
        MessageStored = 15, "MESSAGE_STORED", "The server has stored the messages up to the id in value.";
        ConfigChanged = 16, "CONFIG_CHANGED", "Another configuration counts now; value is its revision.";
        ConfigDone = 17, "CONFIG_DONE", "What bh_config_read began has ended; value is its BH_STATUS_.";
        SleepEnded = 18, "SLEEP_ENDED", "The deadline of bh_power_sleep has come; value is 0.";
    }
}

numbers! {
    /// Stages of an update, as the link names them.
    UpdateStageNumber "BH_UPDATE_STAGE_" {
        Idle = 0, "IDLE", "Nothing to do.";
        Checking = 1, "CHECKING", "The manifest is fetched and checked.";
        Refused = 2, "REFUSED", "The bundle was refused.";
        Staging = 3, "STAGING", "Pages are fetched and staged.";
        Ready = 4, "READY", "Staged and verified.";
        Applying = 5, "APPLYING", "Pages are written.";
        Committed = 6, "COMMITTED", "Applied and committed.";
        Reverting = 7, "REVERTING", "The old application is being put back.";
        Reverted = 8, "REVERTED", "The old application was put back.";
        Failed = 9, "FAILED", "Failed before anything was changed.";
        Trial = 10, "TRIAL", "Applied and started; not kept yet.";
        Cancelled = 11, "CANCELLED", "Given up on the owner's order.";
    }
}

numbers! {
    /// Why the application was started.
    WakeReason "BH_WAKE_REASON_" {
        PowerOn = 0, "POWER_ON", "Power came on.";
        Updated = 1, "UPDATED", "An update was applied.";
        Faulted = 2, "FAULTED", "The application was stopped by a fault and its back-off is over.";
        Requested = 3, "REQUESTED", "The application asked for a restart.";
        Commanded = 4, "COMMANDED", "The owner asked for a restart.";
        Reverted = 5, "REVERTED", "An update was undone.";
        DeviceRestarted = 6, "DEVICE_RESTARTED", "The owner had the whole device restarted.";
        HypervisorFault = 7, "HYPERVISOR_FAULT", "The hypervisor restarted itself after a fault of its own.";
    }
}

numbers! {
    /// State of the link to the server.
    NetworkStatus "BH_NETWORK_STATUS_" {
        Offline = 0, "OFFLINE", "No address yet.";
        Connecting = 1, "CONNECTING", "Connecting or waiting to retry.";
        Online = 2, "ONLINE", "The server has answered.";
    }
}

numbers! {
    /// Bits that say why the device is online or offline.
    NetworkReason "BH_NETWORK_REASON_" {
        AlwaysConnected = 1, "ALWAYS_CONNECTED", "Policy: the link is kept at all times.";
        ClockNotSet = 2, "CLOCK_NOT_SET", "The wall clock is not known yet.";
        FaultToReport = 4, "FAULT_TO_REPORT", "A fault waits to be reported.";
        ColdBoot = 8, "COLD_BOOT", "Power came on and the server has not been asked yet.";
        FetchingUpdate = 16, "FETCHING_UPDATE", "An update is being fetched.";
        NoApplication = 32, "NO_APPLICATION", "There is no startable application.";
        BackOff = 64, "BACK_OFF", "Offline: the last attempt failed, the next waits for its time.";
        ApplicationAsked = 128, "APPLICATION_ASKED", "The application asked for the network.";
    }
}
