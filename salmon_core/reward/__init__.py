"""The one reward: texts rendered, the reward model and the bonuses put together."""
