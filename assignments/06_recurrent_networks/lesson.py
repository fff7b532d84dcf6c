# %% [markdown]
# # Recurrent networks
