(** * One more product, and what it adds to the bound of the rounding

    - [error_scaled]: the error of a partial sum, multiplied by a constant that rounded once less
      than it costs, and the rounding of the product, are within [error] of the terms with these
      factors.

    Rests on Additions.v. The induction over all evaluations is in Sums.v. *)

From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms binary32.Folds
  binary32.Additions.
Import ListNotations.
Open Scope R_scope.

Lemma pow_gain k : (1 + u) ^ k - 1 <= INR k * u * (1 + u) ^ k.
Proof.
  assert (Hu := u_pos). induction k as [|k IH]; [simpl; lra|]. rewrite S_INR.
  change ((1 + u) ^ S k) with ((1 + u) * (1 + u) ^ k).
  assert (P := pow_1u k). assert (I := pos_INR k). set (x := (1 + u) ^ k) in *.
  assert (0 <= u * u * x) by (repeat apply Rmult_le_pos; lra).
  replace ((INR k + 1) * u * ((1 + u) * x)) with (INR k * u * x + INR k * (u * u * x) + u * x +
    u * u * x) by ring.
  assert (0 <= INR k * (u * u * x)) by (now apply Rmult_le_pos). lra.
Qed.

Section Scaled.
Variables (fs : list factor) (l : list term).

Let C : R := constant fs.
Let k : nat := cost fs.
Let s : R := spread (kept l).
Let l' : list term := map (with_factors fs) l.

Lemma exact_scaled t : exact (with_factors fs t) = C * exact t.
Proof. unfold exact, with_factors. cbn [fst snd]. rewrite constant_app. unfold C. ring. Qed.

Lemma magnitude_scaled t : magnitude (with_factors fs t) = Rabs C * magnitude t.
Proof. unfold magnitude. rewrite exact_scaled. apply Rabs_mult. Qed.

Lemma sum_scaled m : exact_sum (map (with_factors fs) m) = C * exact_sum m.
Proof.
  unfold exact_sum. induction m as [|t m IH]; [simpl; ring|]. cbn [map].
  rewrite !total_cons, IH, exact_scaled. ring.
Qed.

Lemma spread_scaled m : spread (map (with_factors fs) m) = room fs * spread m.
Proof.
  unfold spread. induction m as [|t m IH]; [simpl; ring|]. cbn [map]. rewrite !total_cons, IH.
  unfold spread_of, with_factors. cbn [fst snd]. rewrite room_app. ring.
Qed.

Lemma size_scaled : size l' = Rabs C * size l.
Proof.
  unfold size, l'. induction l as [|t m IH]; [simpl; ring|]. cbn [map].
  rewrite !total_cons, IH, magnitude_scaled. ring.
Qed.

Lemma charged_scaled : total (map charged l') = Rabs C * (total (map charged l) + INR k * size l).
Proof.
  unfold size, l'. induction l as [|t m IH]; [simpl; ring|]. cbn [map]. rewrite !total_cons, IH.
  unfold charged at 1 3.
  rewrite magnitude_scaled. cbn [fst with_factors]. rewrite cost_app, plus_INR. fold k. ring.
Qed.

Hypothesis Cn : C <> 0.

Lemma kept_scaled : kept l' = map (with_factors fs) (kept l).
Proof.
  unfold kept, l'. induction l as [|t m IH]; [reflexivity|]. cbn [map filter].
  rewrite magnitude_scaled, IH.
  assert (E : nonzero (Rabs C * magnitude t) = nonzero (magnitude t));
    [|rewrite E; now destruct (nonzero (magnitude t))].
  apply Rabs_no_R0 in Cn. unfold nonzero.
  destruct (Req_EM_T (magnitude t) 0) as [->|N]; destruct Req_EM_T as [Z|Z]; try reflexivity.
  - elim Z. ring.
  - apply Rmult_integral in Z. tauto.
Qed.

Lemma live_scaled : live l' = map (Rmult (Rabs C)) (live l).
Proof. rewrite !live_kept, kept_scaled, !map_map. apply map_ext. exact magnitude_scaled. Qed.

Variables (K L : nat) (c f : R).
Hypothesis Hl : l <> [].
Hypothesis In' : in_range K L l'.

Lemma factors_fit : (k <= K)%nat /\ (length fs <= L)%nat.
Proof.
  destruct In' as (F & _). unfold l' in F. destruct l as [|t m]; [easy|].
  inversion_clear F as [|? ? (_ & H2 & H3) _].
  cbn [fst with_factors] in *. rewrite cost_app in H2. rewrite length_app in H3. fold k in H2. lia.
Qed.

Lemma in_range_scaled : in_range (K - k) (L - length fs) l.
Proof.
  destruct factors_fit as [Hk HL]. destruct In' as (F & S & N). unfold in_range, l' in *.
  rewrite spread_scaled in S. rewrite length_map in N.
  split; [|split].
  - apply Forall_forall. intros t Ht. rewrite Forall_forall in F.
    destruct (F _ (in_map (with_factors fs) _ _ Ht)) as (T & H2 & H3).
    cbn [fst with_factors] in *. rewrite cost_app in H2. rewrite length_app in H3. fold k in H2.
    split; [now apply tame_app in T|lia].
  - assert (R := room_1 fs). assert (P := spread_pos l).
    assert (1 * spread l <= room fs * spread l) by (apply Rmult_le_compat_r; lra). lra.
  - apply Rle_trans with (2 := N), le_INR. lia.
Qed.

Lemma bounded_scaled : bounded c l' -> bounded (c / Rabs C) l.
Proof.
  intros B x y P. apply Rabs_pos_lt in Cn. apply (Rmult_le_reg_l (Rabs C)); [exact Cn|].
  replace (Rabs C * (c / Rabs C)) with c by (field; lra). rewrite <- Rabs_mult, <- sum_scaled.
  apply (B _ (map (with_factors fs) y)). rewrite <- map_app. now apply Permutation_map.
Qed.

Lemma whole_scaled : Rabs (exact_sum l') <= f <= size l' ->
  Rabs (exact_sum l) <= f / Rabs C <= size l.
Proof.
  unfold l' at 1. rewrite sum_scaled, Rabs_mult, size_scaled. apply Rabs_pos_lt in Cn.
  intros [H1 H2].
  assert (E : Rabs C * (f / Rabs C) = f) by (field; lra).
  split; apply (Rmult_le_reg_l (Rabs C)); (exact Cn || rewrite E; assumption).
Qed.

Hypothesis Hc : 0 <= c.
Hypothesis Hf : Rabs (exact_sum l') <= f <= size l'.
Hypothesis Some : kept l <> [].
Hypothesis Hfs : fs <> [].

(** [a] is the partial sum, [r] the constant, [y] their product as the operands are read, and [v]
    the product rounded. *)
Variables a r y : R.
Let E0 : R := error (K - k) (L - length fs) (c / Rabs C) (f / Rabs C) l.
Hypothesis Ha : Rabs (a - exact_sum l) <= E0.
Hypothesis Hr : near (pred k) C r.
Hypothesis Hy : Rabs (y - r * a) <= eta * (Rabs r + Rabs a) /\ Rabs y <= Rabs (r * a).

Lemma kept_spread : 1 <= s.
Proof. now apply spread_some. Qed.

Lemma scaled_sizes : Rabs r <= 4 / 3 * room fs /\ Rabs a <= 2 * s /\ Rabs y <= largest.
Proof.
  assert (P := Rabs_pos_lt C Cn). destruct factors_fit as [Hk HL]. destruct In' as (_ & S & N).
  assert (R1 := room_1 fs). assert (S1 := kept_spread).
  assert (A : Rabs r <= 4 / 3 * room fs).
  { apply Rle_trans with (1 := near_abs _ _ _ Hr). apply Rmult_le_compat;
      [generalize (pow_1u (pred k)); lra|lra| |apply constant_room].
    apply growth_half. apply Rle_trans with (INR (length l' + K + L)); [apply le_INR; lia|]. lra. }
  assert (B : Rabs a <= 2 * s).
  { replace a with ((a - exact_sum l) + exact_sum l) by ring. apply Rle_trans
      with (1 := Rabs_triang _ _).
    assert (W := whole_scaled Hf). assert (Z := exact_sum_size l). assert (Q := size_spread l).
    fold s in Q.
    assert (E : E0 <= s).
    { apply error_small; [apply Rmult_le_pos; [exact Hc|apply Rlt_le, Rinv_0_lt_compat, P]|
        |exact in_range_scaled].
      split; [exact (Rle_trans _ _ _ (Rabs_pos _) (proj1 W))|apply W]. }
    lra. }
  split; [exact A|]. split; [exact B|]. apply Rle_trans with (1 := proj2 Hy). rewrite Rabs_mult.
  unfold l' in S. rewrite spread_scaled in S. assert (Q := spread_kept l). fold s in Q.
  apply Rle_trans with (4 / 3 * room fs * (2 * s)).
  - apply Rmult_le_compat; auto using Rabs_pos.
  - assert (room fs * s <= room fs * spread l) by (apply Rmult_le_compat_l; lra).
    assert (0 <= room fs * s) by (apply Rmult_le_pos; lra). lra.
Qed.

Theorem error_scaled v : Rabs (v - y) <= (if (k =? 0)%nat then 0 else u * Rabs y) + eta ->
  Rabs (v - exact_sum l') <= error K L c f l'.
Proof.
  intros Hv. assert (P := Rabs_pos_lt C Cn). destruct factors_fit as [Hk HL].
  destruct scaled_sizes as (R1 & A1 & _).
  assert (Hu := u_pos). assert (He := eta_pos). destruct Hy as [Y1 Y2].
  assert (Sl : exact_sum l' = C * exact_sum l) by apply sum_scaled.
  set (A := exact_sum l) in *. set (g := (1 + u) ^ pred k). assert (G1 : 1 <= g) by apply pow_1u.
  assert (E00 : 0 <= E0) by exact (Rle_trans _ _ _ (Rabs_pos _) Ha).
  assert (Aa : Rabs a <= Rabs A + E0).
  { replace a with ((a - A) + A) by ring. apply Rle_trans with (1 := Rabs_triang _ _). lra. }
  assert (Ra : Rabs (r * a) <= g * Rabs C * (Rabs A + E0)).
  { rewrite Rabs_mult. apply Rmult_le_compat; auto using Rabs_pos. exact (near_abs _ _ _ Hr). }
  assert (D : Rabs (r * a - C * A) <= (g - 1) * Rabs C * (Rabs A + E0) + Rabs C * E0).
  { replace (r * a - C * A) with ((r - C) * a + C * (a - A)) by ring. apply Rle_trans
      with (1 := Rabs_triang _ _).
    rewrite !Rabs_mult. apply Rplus_le_compat.
    - apply Rmult_le_compat; auto using Rabs_pos.
    - apply Rmult_le_compat_l; [apply Rabs_pos|exact Ha]. }
  set (h := (1 + u) ^ k).
  assert (Main : Rabs (v - C * A) <= (h - 1) * (Rabs C * Rabs A) + h * (Rabs C * E0) +
    eta * (Rabs r + Rabs a + 1)).
  { replace (v - C * A) with ((v - y) + ((y - r * a) + (r * a - C * A))) by ring. apply Rle_trans
      with (1 := Rabs_triang _ _).
    assert (T := Rabs_triang (y - r * a) (r * a - C * A)).
    assert (Q : (if (k =? 0)%nat then 0 else u * Rabs y) <= (h - g) * (Rabs C * (Rabs A + E0))).
    { destruct (Nat.eqb_spec k 0) as [Z|Z].
      - assert (h = g) as -> by (unfold h, g; now rewrite Z). lra.
      - assert (E : h - g = u * g).
        { unfold h, g. replace k with (S (pred k)) at 1 by lia. change ((1 + u) ^ S (pred k))
            with ((1 + u) * (1 + u) ^ pred k). ring. }
        rewrite E. apply Rle_trans with (u * (g * Rabs C * (Rabs A + E0))); [|right; ring].
        apply Rmult_le_compat_l; [lra|]. apply Rle_trans with (1 := Y2), Ra. }
    lra. }
  rewrite Sl. apply Rle_trans with (1 := Main). clear Main D Ra.
  (* the bound with these factors, by that without them *)
  set (n := pred (length (live l))).
  set (W := worst (c / Rabs C) (f / Rabs C) (live l)). set (Ch := total (map charged l)).
  assert (Eq : error K L c f l' = (1 + u) ^ (n + K) * (u * (Rabs C * (W + Ch + INR k * size l)) +
    eta * (12 * INR (S L) * (room fs * s) - 4))).
  { assert (Kl : kept l' <> []) by (rewrite kept_scaled; now destruct (kept l)).
    unfold error, first_order. rewrite flushed_some, charged_scaled, kept_scaled, spread_scaled,
      live_scaled, length_map by exact Kl.
    fold n s Ch.
    assert (V : worst c f (map (Rmult (Rabs C)) (live l)) = Rabs C * W).
    { unfold W. rewrite worst_scale by lra. f_equal; field; lra. }
    rewrite V. do 2 f_equal. ring. }
  assert (E0q : E0 = (1 + u) ^ (n + (K - k)) * (u * (W + Ch) +
    eta * (12 * INR (S (L - length fs)) * s - 4)))
    by (unfold E0, error, first_order; now rewrite flushed_some).
  rewrite Eq. set (x := (1 + u) ^ (n + K)). assert (X1 : 1 <= x) by apply pow_1u.
  assert (Hx : h * E0 = x * (u * (W + Ch) + eta * (12 * INR (S (L - length fs)) * s - 4))).
  { rewrite E0q, <- Rmult_assoc. f_equal. unfold h, x. rewrite <- pow_add. f_equal. lia. }
  replace (h * (Rabs C * E0)) with (Rabs C * (h * E0)) by ring. rewrite Hx.
  assert (Sz := exact_sum_size l). fold A in Sz. assert (A0 := Rabs_pos A).
  assert (H1 : (h - 1) * (Rabs C * Rabs A) <= x * (u * (Rabs C * (INR k * size l)))).
  { assert (Hh : h - 1 <= INR k * u * x).
    { apply Rle_trans with (1 := pow_gain k). apply Rmult_le_compat_l;
        [apply Rmult_le_pos; [apply pos_INR|lra]|].
      apply Rle_pow; [lra|lia]. }
    apply Rle_trans with (INR k * u * x * (Rabs C * size l)); [|right; ring].
    assert (H0 : 0 <= h - 1) by (unfold h; generalize (pow_1u k); lra).
    apply Rmult_le_compat; [exact H0|apply Rmult_le_pos; lra|exact Hh|].
    apply Rmult_le_compat_l; lra. }
  assert (S1 := kept_spread). assert (M1 := room_1 fs). assert (C1 := constant_room fs).
  fold C in C1.
  assert (Rs : room fs <= room fs * s) by (rewrite <- (Rmult_1_r (room fs)) at 1;
    apply Rmult_le_compat_l; lra).
  assert (Ss : s <= room fs * s) by (rewrite <- (Rmult_1_l s) at 1; apply Rmult_le_compat_r; lra).
  assert (H2 : eta * (Rabs r + Rabs a + 1) + Rabs C * (x * (eta * (12 * INR (S (L -
    length fs)) * s - 4))) <=
    x * (eta * (12 * INR (S L) * (room fs * s) - 4))).
  { assert (Ln : INR (S (L - length fs)) + 1 <= INR (S L)).
    { rewrite <- S_INR. apply le_INR. destruct fs; [easy|cbn [length] in *; lia]. }
    assert (N0 := pos_INR (S (L - length fs))). set (i := INR (S (L - length fs))) in *.
    set (j := INR (S L)) in *.
    assert (T1 : Rabs r + Rabs a + 1 <= 12 * (room fs * s) - 4) by lra.
    assert (T2 : Rabs C * (12 * i * s - 4) <= 12 * i * (room fs * s)).
    { apply Rle_trans with (12 * i * (Rabs C * s)); [lra|]. apply Rmult_le_compat_l;
        [lra|]. apply Rmult_le_compat_r; lra. }
    assert (T3 : (i + 1) * (room fs * s) <= j * (room fs * s)) by (apply Rmult_le_compat_r; lra).
    assert (T4 : eta * (Rabs r + Rabs a + 1) <= x * (eta * (12 * (room fs * s) - 4))).
    { apply Rle_trans with (1 * (eta * (12 * (room fs * s) - 4)));
        [rewrite Rmult_1_l; apply Rmult_le_compat_l; lra|].
      apply Rmult_le_compat_r; [|exact X1]. apply Rmult_le_pos; lra. }
    apply Rle_trans with (x * (eta * (12 * (room fs * s) - 4)) +
      x * (eta * (12 * i * (room fs * s)))).
    - apply Rplus_le_compat; [exact T4|]. replace (Rabs C * (x * (eta * (12 * i * s - 4)))) with
        (x * (eta * (Rabs C * (12 * i * s - 4)))) by ring. apply Rmult_le_compat_l; [lra|].
        apply Rmult_le_compat_l; lra.
    - rewrite <- Rmult_plus_distr_l. apply Rmult_le_compat_l; [lra|].
      rewrite <- Rmult_plus_distr_l. apply Rmult_le_compat_l; lra. }
  lra.
Qed.
End Scaled.
