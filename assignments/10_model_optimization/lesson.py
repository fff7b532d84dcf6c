# %% [markdown]
# # Model optimization
