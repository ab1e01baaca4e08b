"""The embedded sample; README.md beside this file is its card, ptmiss.sample its maker."""
