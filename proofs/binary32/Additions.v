(** * One more addition, and what it adds to the bound of the rounding

    - [in_range]: what is asked of terms so that no partial result overflows, whatever the tree;
      [error_small]: then the error is no larger than what the terms come to at most;
    - [one_addition]: what one rounded addition of two inexact operands is off by;
    - [error_perm], [error_alike]: [error] of Terms.v depends on the terms, not on their order;
    - [error_join]: [error] covers one more addition.

    Rests on Terms.v, Folds.v and WorstTree.v. The induction over all evaluations is in Sums.v. *)

From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms binary32.Folds.
Import ListNotations.
Open Scope R_scope.

(** ** Terms in range *)

Definition limited (K L : nat) (t : term) : Prop :=
  tame (fst t) /\ (cost (fst t) <= K)%nat /\ (length (fst t) <= L)%nat.

Definition in_range (K L : nat) (l : list term) : Prop :=
  Forall (limited K L) l /\ 4 * spread l <= largest /\ INR (length l + K + L) <= 2 ^ 20.

Lemma in_range_app K L l1 l2 : in_range K L (l1 ++ l2) -> in_range K L l1 /\ in_range K L l2.
Proof.
  intros (F & S & N). apply Forall_app in F. destruct F as [F1 F2]. rewrite spread_app in S.
  assert (P1 := spread_pos l1). assert (P2 := spread_pos l2).
  assert (forall l : list term, (length l <= length (l1 ++ l2))%nat ->
    INR (length l + K + L) <= 2 ^ 20).
  { intros l H. apply Rle_trans with (2 := N), le_INR. lia. }
  rewrite length_app in *. split; (split; [assumption|split; [lra|apply H; lia]]).
Qed.

Lemma charged_size K L l : Forall (limited K L) l -> total (map charged l) <= INR K * size l.
Proof.
  unfold size. induction 1 as [|t l (_ & C & _) _ IH]; [simpl; lra|]. cbn [map].
  rewrite !total_cons.
  assert (charged t <= INR K * magnitude t) by (apply Rmult_le_compat_r;
    [apply magnitude_pos|now apply le_INR]). lra.
Qed.

Section Cap.
Variables (K L : nat) (c : R).
Hypothesis Hc : 0 <= c.

Lemma first_order_pos f l : 0 <= f -> 0 <= first_order L c f l.
Proof.
  intros Hf. unfold first_order. assert (W := worst_pos c Hc f _ Hf (live_nonneg l)).
  assert (C := charged_pos l).
  assert (F := flushed_range L (kept l)). assert (Hu := u_pos). assert (He := eta_pos).
  apply Rplus_le_le_0_compat; apply Rmult_le_pos; lra.
Qed.

Lemma error_pos f l : 0 <= f -> 0 <= error K L c f l.
Proof.
  intros Hf. unfold error. apply Rmult_le_pos; [generalize (pow_1u (pred (length (live l)) + K));
    lra|now apply first_order_pos].
Qed.

Theorem error_small f l : 0 <= f <= size l -> in_range K L l -> error K L c f l <= spread (kept l).
Proof.
  intros Hf (F & _ & N). assert (W := worst_simple c f (live l) (live_nonneg l)).
  rewrite total_live in W.
  specialize (W (proj2 Hf)). assert (C := charged_size K L l F). assert (Z := size_pos l).
  assert (Sp := size_spread l).
  set (n := length (live l)) in *. set (m := size l) in *. set (s := spread (kept l)) in *.
  assert (Ln : (n <= length l)%nat) by apply kept_length.
  assert (B : forall k, (k <= length l + K + L)%nat ->
    INR k <= 2 ^ 20) by (intros k H; apply Rle_trans with (2 := N), le_INR, H).
  assert (B1 := B (pred n + K)%nat ltac:(lia)). assert (B2 := B L ltac:(lia)).
  assert (U : u = / 2 ^ 24) by reflexivity. assert (E : eta = / 2 ^ 126) by reflexivity.
  assert (G : (1 + u) ^ (pred n + K) <= 16 / 15).
  { apply Rle_trans with (1 := growth_inv (pred n + K) _ (le_n _) ltac:(rewrite U; lra)).
    replace (16 / 15) with (/ (15 / 16)) by field. apply Rinv_le_contravar; [lra|]. rewrite U. lra.
    }
  assert (F0 := first_order_pos f l (proj1 Hf)). unfold error. fold n.
  apply Rle_trans with (16 / 15 * first_order L c f l); [now apply Rmult_le_compat_r|].
  unfold first_order in *. fold n in F0 |- *. rewrite plus_INR in B1.
  assert (D1 : u * (worst c f (live l) + total (map charged l)) <= / 16 * m).
  { apply Rle_trans with (u * ((INR (pred n) + INR K) * m));
      [apply Rmult_le_compat_l; [rewrite U; lra|lra]|].
    rewrite <- Rmult_assoc. apply Rmult_le_compat_r; [exact Z|]. rewrite U. lra. }
  assert (D2 : eta * flushed L (kept l) <= / 100 * s).
  { apply Rle_trans with (eta * (12 * INR (S L) * s));
      [apply Rmult_le_compat_l; [rewrite E; lra|apply flushed_range]|].
    rewrite <- !Rmult_assoc. apply Rmult_le_compat_r; [lra|]. rewrite E, S_INR. lra. }
  lra.
Qed.

(** ** The order of terms, and of their factors *)

Lemma error_perm f l l' : Permutation l l' -> error K L c f l = error K L c f l'.
Proof.
  intros P. assert (Q : Permutation (kept l) (kept l')).
  { unfold kept. induction P as [|t l l' _ IH|t t' l|l l' l'' _ IH1 _ IH2]; cbn [filter]; auto.
    - destruct (nonzero _); auto.
    - destruct (nonzero (magnitude t)), (nonzero (magnitude t')); auto using perm_swap.
    - now apply perm_trans with (1 := IH1). }
  assert (V : Permutation (live l) (live l')) by (rewrite !live_kept; now apply Permutation_map).
  unfold error, first_order. rewrite (Permutation_length V), (worst_perm c f _ _ V),
    (flushed_perm L _ _ Q).
  now rewrite (total_perm _ _ (Permutation_map charged P)).
Qed.
End Cap.

Lemma in_range_perm K L l l' : Permutation l l' -> in_range K L l -> in_range K L l'.
Proof.
  intros P (F & S & N). unfold in_range, spread. rewrite <- (Permutation_length P).
  rewrite <- (total_perm _ _ (Permutation_map spread_of P)). split; [|now split]. now rewrite <- P.
Qed.

Definition twins (t t' : term) : Prop := Permutation (fst t) (fst t') /\ snd t = snd t'.

Lemma twins_same t t' : twins t t' -> exact t = exact t' /\ charged t = charged t' /\
  spread_of t = spread_of t' /\
  forall K L, limited K L t -> limited K L t'.
Proof.
  intros [P E]. destruct (factors_perm _ _ P) as (E1 & E2 & E3 & E4).
  unfold charged, magnitude, exact, spread_of, limited. rewrite <- E, <- E1, <- E2, <- E3, <- E4.
  repeat split; try tauto.
  apply tame_perm with (1 := P). tauto.
Qed.

Lemma alike_same l l' : alike l l' -> map exact l = map exact l' /\
  map charged l = map charged l' /\
  map spread_of l = map spread_of l' /\ map spread_of (kept l) = map spread_of (kept l') /\
  forall K L, Forall (limited K L) l -> Forall (limited K L) l'.
Proof.
  induction 1 as [|t t' l l' H _ (I1 & I2 & I3 & I4 & I5)]; [repeat split; auto|].
  destruct (twins_same t t' H) as (E1 & E2 & E3 & E4). unfold kept in *. cbn [map filter].
  unfold magnitude at 1 3.
  rewrite E1, E2, E3, I1, I2, I3. repeat split; try reflexivity.
  - destruct nonzero; cbn [map]; [now rewrite E3, I4|exact I4].
  - inversion_clear 1 as [|? ? F1 F2]. constructor; [now apply E4|now apply I5].
Qed.

Lemma alike_sums l l' : alike l l' -> exact_sum l = exact_sum l' /\ size l = size l' /\
  live l = live l'.
Proof.
  intros H. destruct (alike_same l l' H) as (E & _). 
  assert (M : map magnitude l = map magnitude l').
  { unfold magnitude. rewrite <- (map_map exact Rabs l), E. apply map_map. }
  unfold exact_sum, size, live. rewrite E, M. now repeat split.
Qed.

Lemma error_alike K L c f l l' : alike l l' -> error K L c f l = error K L c f l'.
Proof.
  intros H. destruct (alike_same l l' H) as (_ & E2 & _ & E4 & _).
  destruct (alike_sums l l' H) as (_ & _ & E5).
  unfold error, first_order. now rewrite E2, E5, (flushed_same L _ _ E4).
Qed.

Lemma in_range_alike K L l l' : alike l l' -> in_range K L l -> in_range K L l'.
Proof.
  intros H (F & S & N). destruct (alike_same l l' H) as (_ & _ & E3 & _ & E5).
  unfold in_range, spread.
  rewrite <- E3. assert (E : length l = length l') by (clear -H; induction H; cbn [length];
    congruence). rewrite <- E.
  split; [now apply E5|now split].
Qed.

Lemma alike_refl l : alike l l.
Proof. induction l; constructor; auto. Qed.

Lemma sum_reordered l l' v : Permutation l l' -> sum l v -> sum l' v.
Proof. intros P H. exact (sum_any_order l l' l' v P (alike_refl l') H). Qed.

Lemma alike_sym l l' : alike l l' -> alike l' l.
Proof.
  unfold alike. induction 1 as [|t t' l l' [P E] _ IH]; constructor; [|exact IH].
  split; [now apply Permutation_sym|now symmetry].
Qed.

Lemma bounded_alike c l l' : alike l l' -> bounded c l -> bounded c l'.
Proof.
  intros H B s t P. apply Permutation_sym in P.
  destruct (Permutation_Forall2 P (alike_sym _ _ H)) as (k & Q & F). apply Forall2_app_inv_l in F.
  destruct F as (s' & t' & F1 & F2 & ->). rewrite <- (proj1 (alike_sums s' s (alike_sym _ _ F1))).
  now apply (B s' t'), Permutation_sym.
Qed.

(** ** One more addition *)

(** If [a] and [b] are within [Ea] and [Eb] of [sa] and [sb], whose sum is at most [f] and of
    magnitudes [Ma] and [Mb], the rounded sum is within [(1 + u) (Ea + Eb) + u f + 4 eta]. *)
Lemma one_addition a b sa sb Ma Mb Ea Eb f p' q' r :
  Rabs (a - sa) <= Ea -> Rabs sa <= Ma -> Rabs (b - sb) <= Eb -> Rabs sb <= Mb ->
  Rabs (sa + sb) <= f ->
  reads a p' -> reads b q' -> Rabs (r - (p' + q')) <= u * Rabs (p' + q') + eta ->
  Rabs (r - (sa + sb)) <= (1 + u) * (Ea + Eb) + u * f + 4 * eta.
Proof.
  intros Ha Hsa Hb Hsb Hf Ra Rb Hr. assert (Hu := u_pos). assert (He := eta_pos).
  assert (D := Rabs_triang (p' - a + (a - sa)) (q' - b + (b - sb))).
  assert (D1 := Rabs_triang (p' - a) (a - sa)). assert (D2 := Rabs_triang (q' - b) (b - sb)).
  assert (ea := reads_error _ _ Ra). assert (eb := reads_error _ _ Rb).
  set (d := p' - a + (a - sa) + (q' - b + (b - sb))) in *.
  assert (Hd : p' + q' = d + (sa + sb)) by (unfold d; ring).
  assert (S : Rabs (p' + q') <= f + (Ea + Eb + 2 * eta)).
  { rewrite Hd. apply Rle_trans with (1 := Rabs_triang _ _). lra. }
  replace (r - (sa + sb)) with ((r - (p' + q')) + d) by (unfold d; ring).
  apply Rle_trans with (1 := Rabs_triang _ _).
  assert (u * Rabs (p' + q') <= u * (f + (Ea + Eb + 2 * eta))) by (apply Rmult_le_compat_l; lra).
  assert (u * (2 * eta) <= eta).
  { replace (u * (2 * eta)) with (2 * u * eta) by ring. rewrite <- (Rmult_1_l eta) at 2.
    apply Rmult_le_compat_r; [lra|]. unfold u. lra. }
  lra.
Qed.

(** The parts of a sum, each with its own terms or the cap for the whole. *)
Definition part (c : R) (l : list term) : R := Rmin (size l) c.

Lemma part_range c l : 0 <= c -> 0 <= part c l <= size l.
Proof. intros Hc. split; [apply Rmin_glb; [apply size_pos|exact Hc]|apply Rmin_l]. Qed.

Lemma part_sum c l : bounded c l -> Rabs (exact_sum l) <= part c l.
Proof. intros H. apply Rmin_glb; [apply exact_sum_size|now apply bounded_all]. Qed.

Theorem error_join K L c f l1 l2 : 0 <= c -> 0 <= f -> kept l1 <> [] -> kept l2 <> [] ->
  (1 + u) * (error K L c (part c l1) l1 + error K L c (part c l2) l2) + u * f + 4 * eta <=
    error K L c f (l1 ++ l2).
Proof.
  intros Hc Hf N1 N2. unfold error. rewrite live_app, length_app.
  assert (P1 := first_order_pos L c Hc (part c l1) l1 (proj1 (part_range c l1 Hc))).
  assert (P2 := first_order_pos L c Hc (part c l2) l2 (proj1 (part_range c l2 Hc))).
  assert (L1 : length (live l1) = length (kept l1)) by (rewrite live_kept; apply length_map).
  assert (L2 : length (live l2) = length (kept l2)) by (rewrite live_kept; apply length_map).
  assert (M1 : (0 < length (kept l1))%nat) by (destruct (kept l1); [easy|cbn; lia]).
  assert (M2 : (0 < length (kept l2))%nat) by (destruct (kept l2); [easy|cbn; lia]).
  assert (V1 : live l1 <> []) by (intros Z; rewrite Z in L1; cbn in L1; lia).
  assert (V2 : live l2 <> []) by (intros Z; rewrite Z in L2; cbn in L2; lia).
  assert (F : first_order L c (part c l1) l1 + first_order L c (part c l2) l2 +
    (u * f + 4 * eta) <= first_order L c f (l1 ++ l2)).
  { unfold first_order. rewrite live_app, kept_app, map_app, total_app.
    assert (W := worst_join c f _ _ (live_nonneg l1) (live_nonneg l2) V1 V2).
    rewrite !total_live in W. fold (part c l1) (part c l2) in W.
    assert (J := flushed_join L _ _ N1 N2).
    assert (X := Rmult_le_compat_l u _ _ (Rlt_le _ _ u_pos) W).
    assert (Y := Rmult_le_compat_l eta _ _ (Rlt_le _ _ eta_pos) J). lra. }
  rewrite L1, L2 in *. set (n1 := length (kept l1)) in *. set (n2 := length (kept l2)) in *.
  assert (K1 := amplify (S (pred n1 + K)) (pred (n1 + n2) + K) _ ltac:(lia) P1).
  assert (K2 := amplify (S (pred n2 + K)) (pred (n1 + n2) + K) _ ltac:(lia) P2).
  assert (K3 : 0 <= u * f + 4 * eta).
  { generalize u_pos eta_pos. intros. assert (0 <= u * f) by (apply Rmult_le_pos; lra). lra. }
  assert (K4 := amplify 0 (pred (n1 + n2) + K) _ ltac:(lia) K3). rewrite pow_O, Rmult_1_l in K4.
  assert (K5 := Rmult_le_compat_l ((1 + u) ^ (pred (n1 + n2) +
    K)) _ _ ltac:(generalize (pow_1u (pred (n1 + n2) + K)); lra) F).
  change ((1 + u) ^ S (pred n1 + K)) with ((1 + u) * (1 + u) ^ (pred n1 + K)) in K1.
  change ((1 + u) ^ S (pred n2 + K)) with ((1 + u) * (1 + u) ^ (pred n2 + K)) in K2. lra.
Qed.
