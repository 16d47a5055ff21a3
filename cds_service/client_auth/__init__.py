"""Who calls: client tokens, key sets, tokens seen before, and proxies that vouch for a client."""
