//! From the link's types to the API's.

use bulkhead_cloud_api as api;
use bulkhead_link_protocol as link;

pub(crate) fn reported(hello: &link::Hello<'_>, at: api::Timestamp) -> api::ReportedState {
    api::ReportedState {
        hypervisor: hello.hypervisor.to_owned(),
        device_class: hello.device_class.to_owned(),
        board_revision: hello.board_revision,
        abi: hello.abi,
        running: hello.running.map(api::ManifestDigest),
        on_trial: hello.on_trial.unwrap_or_default(),
        boot_reason: match hello.boot_reason {
            link::BootReason::PowerOn => api::BootReason::PowerOn,
            link::BootReason::HypervisorFault => api::BootReason::HypervisorFault,
            link::BootReason::Commanded => api::BootReason::Commanded,
        },
        application: application(hello.application),
        connect_count: hello.connect_count,
        fault: hello.fault.map(fault),
        epitaph: hello.epitaph.map(str::to_owned),
        reason: None,
        key_set_version: hello.key_set_version,
        key_set_refusal: None,
        floors: hello.floors.map(floors),
        wear: None,
        reported_at: at,
    }
}

pub(crate) fn floors(floors: link::Floors) -> api::Floors {
    let link::Floors { sequence, security_counter, permits } = floors;
    api::Floors { sequence, security_counter, permits }
}

pub(crate) fn application(state: link::ApplicationState) -> api::ApplicationState {
    match state {
        link::ApplicationState::None => api::ApplicationState::None,
        link::ApplicationState::Running => api::ApplicationState::Running,
        link::ApplicationState::BackingOff => api::ApplicationState::BackingOff,
        link::ApplicationState::Updating => api::ApplicationState::Updating,
        link::ApplicationState::Stopped => api::ApplicationState::Stopped,
    }
}

pub(crate) fn fault(fault: link::Fault) -> api::Fault {
    api::Fault {
        kind: match fault.kind {
            link::FaultKind::SecureAccess => api::FaultKind::SecureAccess,
            link::FaultKind::BadExecution => api::FaultKind::BadExecution,
            link::FaultKind::StackOverflow => api::FaultKind::StackOverflow,
            link::FaultKind::InterruptFlood => api::FaultKind::InterruptFlood,
            link::FaultKind::InterruptsMasked => api::FaultKind::InterruptsMasked,
            link::FaultKind::BusError => api::FaultKind::BusError,
            link::FaultKind::UsageFault => api::FaultKind::UsageFault,
            link::FaultKind::Escalated => api::FaultKind::Escalated,
            link::FaultKind::Breakpoint => api::FaultKind::Breakpoint,
            link::FaultKind::MemoryProtection => api::FaultKind::MemoryProtection,
        },
        program_counter: fault.program_counter,
        address: fault.address,
        count: fault.count,
        restart_in_s: fault.restart_in_s,
    }
}

pub(crate) const fn wear(wear: &link::Wear) -> api::FlashWear {
    api::FlashWear {
        application: wear.application,
        application_page_max: wear.applies,
        journal: wear.journal,
        journal_page_max: match wear.journal_pages {
            0 => wear.journal,
            pages => wear.journal.div_ceil(pages),
        },
        manifests: wear.manifests,
        staging: wear.staging,
        owned: wear.owned,
        crashes: wear.crashes,
        configuration: wear.configuration,
    }
}

/// `None` for `Idle`, which is no stage of any update.
pub(crate) fn stage(stage: link::UpdateStage) -> Option<api::UpdateStage> {
    Some(match stage {
        link::UpdateStage::Idle => return None,
        link::UpdateStage::Checking => api::UpdateStage::Checking,
        link::UpdateStage::Refused => api::UpdateStage::Refused,
        link::UpdateStage::Staging => api::UpdateStage::Staging,
        link::UpdateStage::Ready => api::UpdateStage::Ready,
        link::UpdateStage::Applying => api::UpdateStage::Applying,
        link::UpdateStage::Committed => api::UpdateStage::Committed,
        link::UpdateStage::Reverting => api::UpdateStage::Reverting,
        link::UpdateStage::Reverted => api::UpdateStage::Reverted,
        link::UpdateStage::Failed => api::UpdateStage::Failed,
        link::UpdateStage::Cancelled => api::UpdateStage::Cancelled,
        link::UpdateStage::Trial => api::UpdateStage::Trial,
    })
}

/// What a progress message tells beside its stage.
pub(crate) fn details(progress: &link::Progress<'_>, now: api::Timestamp) -> api::UpdateDetails {
    let later =
        |seconds: u32| api::Timestamp(now.0.saturating_add(i64::from(seconds).saturating_mul(1_000_000)));
    api::UpdateDetails {
        code: progress.code.map(|code| code.as_str().to_owned()),
        mode: progress.mode.map(|mode| match mode {
            link::StagingMode::RedoAndUndo => api::StagingMode::RedoAndUndo,
            link::StagingMode::Redo => api::StagingMode::Redo,
            link::StagingMode::InPlace => api::StagingMode::InPlace,
            link::StagingMode::Refused => api::StagingMode::Refused,
        }),
        downtime_ms: progress.downtime_ms,
        page_erases: progress.page_erases,
        apply_at: progress.apply_in_s.map(later),
        trial: progress.trial.map(|trial| api::TrialProgress {
            starts: trial.starts,
            starts_max: trial.starts_max,
            healthy: trial.healthy,
        }),
    }
}

pub(crate) fn command(command: api::DeviceCommand) -> link::CommandKind {
    match command {
        api::DeviceCommand::RestartApplication => link::CommandKind::RestartApplication,
        api::DeviceCommand::StopApplication => link::CommandKind::StopApplication,
        api::DeviceCommand::ApplyNow => link::CommandKind::ApplyNow,
        api::DeviceCommand::RestartDevice => link::CommandKind::RestartDevice,
        api::DeviceCommand::CancelUpdate => link::CommandKind::CancelUpdate,
        api::DeviceCommand::RevertUpdate => link::CommandKind::RevertUpdate,
        api::DeviceCommand::TakeCrash => link::CommandKind::TakeCrash,
    }
}

pub(crate) fn source(source: link::LogSource) -> api::LogSource {
    match source {
        link::LogSource::Application => api::LogSource::Application,
        link::LogSource::Hypervisor => api::LogSource::Hypervisor,
    }
}
