"""The regression gate: has a row got worse by more than is tolerated, and by more than noise explains?"""
