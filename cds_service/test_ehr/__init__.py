"""The test EHR of the demo: a page that fires hooks as an EHR does, and shows what comes back."""
