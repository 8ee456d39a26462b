// Events after which something that is shown has changed.

export const NODE_KINDS = ["node_up", "node_away", "node_draining", "node_down", "owner_moved"];
export const STREAM_KINDS = ["pub_start", "pub_stop", "relay_pull_start", "relay_pull_stop", "owner_moved"];
export const SESSION_KINDS = ["pub_start", "pub_stop", "sub_start", "sub_stop"];
export const RELAY_KINDS = ["relay_pull_start", "relay_pull_stop", "relay_push_start", "relay_push_stop"];
