(** * A convolution and its batch normalisation *)

From Coq Require Import Reals Lra Lia Psatz List Permutation.
From Flocq.Core Require Import Raux.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms binary32.Sums binary32.Layers.
From Lastbit Require Import operations.Perturbed operations.BatchNorm.
Import ListNotations.
Open Scope R_scope.

(** ** The worst tree of changed terms *)

Lemma below_itself l : Forall2 Rle l l.
Proof. induction l; constructor; [lra|assumption]. Qed.

Lemma top_scale a l k : 0 <= a -> top k (map (Rmult a) l) = a * top k l.
Proof.
  intros Ha. revert k. induction l as [|x l IH]; intros k; [cbn [map]; rewrite !top_nil; ring|].
  destruct k; [rewrite !top_0; ring|]. simpl. rewrite !IH, <- RmaxRmult by exact Ha. f_equal. ring.
Qed.

Lemma worst_scale a c f l : 0 <= a -> a * worst c f l = worst (a * c) (a * f) (map (Rmult a) l).
Proof.
  intros Ha. destruct (Nat.lt_ge_cases (length l) 2) as [L|L].
  - rewrite !worst_short by (rewrite ?map_length; exact L). ring.
  - rewrite !worst_long by (rewrite ?map_length; exact L). rewrite map_length, Rmult_plus_distr_l. f_equal.
    unfold levels. rewrite <- over_scale. apply over_ext. intros j _. rewrite top_scale by exact Ha.
    apply Rmult_min_distr_l. exact Ha.
Qed.

Lemma top_shift l l' : Forall2 Rle l l' -> forall k, top k l' <= top k l + (total l' - total l).
Proof.
  induction 1 as [|x y l l' H F IH]; intros k; [rewrite !top_nil; simpl; lra|].
  assert (T := total_le _ _ F). change (total (y :: l')) with (y + total l'). change (total (x :: l)) with (x + total l).
  destruct k; [rewrite !top_0; lra|]. simpl.
  apply Rmax_lub; [generalize (IH k) (Rmax_l (x + top k l) (top (S k) l))|generalize (IH (S k)) (Rmax_r (x + top k l) (top (S k) l))]; simpl; lra.
Qed.

(** Terms, cap and whole larger by [d] in all: every sum is larger by [d] at most. *)
Lemma worst_shift c c' f f' l l' d : Forall2 Rle l l' -> 0 <= d -> total l' - total l <= d -> c' <= c + d -> f' <= f + d ->
  worst c' f' l' <= worst c f l + INR (length l) * d.
Proof.
  intros F D0 Ht Hc Hf. assert (E : length l = length l') by (induction F; simpl; auto; f_equal; apply IHF; simpl in *; lra).
  assert (P := pos_INR (length l)). assert (0 <= INR (length l) * d) by now apply Rmult_le_pos.
  destruct (Nat.lt_ge_cases (length l) 2) as [L|L]; [rewrite !worst_short by lia; lra|].
  rewrite !worst_long by lia. rewrite <- E.
  assert (K : levels c' (length l - 2) l' <= levels c (length l - 2) l + INR (length l - 2) * d).
  { unfold levels. generalize (length l - 2)%nat. induction n as [|n IH]; [unfold over; simpl; lra|].
    rewrite !over_S, S_INR. assert (T := top_shift l l' F (S (S n))).
    assert (Rmin (top (S (S n)) l') c' <= Rmin (top (S (S n)) l) c + d).
    { rewrite (Rplus_comm _ d). unfold Rmin. repeat destruct Rle_dec; lra. }
    lra. }
  assert (INR (length l - 2) * d + d <= INR (length l) * d).
  { replace (length l) with (S (S (length l - 2))) at 2 by lia. rewrite !S_INR. lra. }
  lra.
Qed.

Lemma worst_mono c c' f f' l l' : c <= c' -> f <= f' -> Forall2 Rle l l' -> worst c f l <= worst c' f' l'.
Proof.
  intros Hc Hf F. apply Rle_trans with (worst c f' l'); [now apply worst_le|].
  generalize (worst_shift c' c f' f' l' l' 0 (below_itself l') (Rle_refl 0)). lra.
Qed.

Lemma worst_whole c f a l : 0 <= a -> worst c (f + a) l <= worst c f l + a.
Proof.
  intros Ha. destruct (Nat.lt_ge_cases (length l) 2) as [L|L]; [rewrite !worst_short by exact L; lra|].
  rewrite !worst_long by exact L. lra.
Qed.

(** ** A sum that stays in range, with the sharpest caps *)

Definition in_range (l : list term) : Prop := size l + error (size l) (size l) l <= largest.

Definition cap (l : list term) : R := (size l + Rabs (exact_sum l)) / 2.

(** Operands read as 0, and flushes, in a sum. *)
Definition flushes (l : list term) : R := total (map flush_of l) + 4 * INR (length l) + 1.

Lemma in_range_error l v : sum l (Finite v) -> in_range l -> forall k, (S (length l) <= k)%nat ->
  Rabs (v - exact_sum l) <=
  (1 + u) ^ k * (u * (worst (cap l) (Rabs (exact_sum l)) (map magnitude l) + size l) + eta * flushes l).
Proof.
  intros H Hr k Hk. assert (Sz := exact_sum_size l). assert (A0 := Rabs_pos (exact_sum l)). assert (Hu := u_pos). assert (He := eta_pos).
  assert (Z0 := size_pos l). set (f := Rabs (exact_sum l)) in *.
  assert (C0 : 0 <= cap l) by (unfold cap; fold f; lra).
  assert (Bd : bounded (cap l) l) by (apply (bounded_parts _ f); [apply Rle_refl|unfold cap; fold f; lra]).
  assert (Ll : (length (live l) <= length l)%nat).
  { unfold live. apply Nat.le_trans with (1 := filter_length _). now rewrite map_length. }
  assert (Nm : nonneg (map magnitude l)).
  { apply Forall_forall. intros x Hx. apply in_map_iff in Hx. destruct Hx as (t & <- & _). apply magnitude_pos. }
  assert (W := worst_filter (cap l) f _ C0 A0 Nm). fold (live l) in W.
  assert (Er : error (cap l) f l <= error (size l) (size l) l).
  { unfold error, first_order. apply Rmult_le_compat_l; [generalize (pow_1u (length (live l))); lra|].
    apply Rplus_le_compat_r. apply Rmult_le_compat_l; [lra|]. apply Rplus_le_compat_r.
    apply worst_mono; [unfold cap; fold f; lra|exact Sz|apply below_itself]. }
  destruct (sum_error (cap l) C0 l _ H f Bd (Rle_refl _)) as (a & p & E & Ra & Ea); [unfold in_range in Hr; lra|].
  injection E as <-. replace (v - exact_sum l) with ((v - a) + (a - exact_sum l)) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). assert (R := reads_error _ _ Ra).
  unfold error, first_order in Ea.
  assert (N0 : 0 <= u * (worst (cap l) f (live l) + total (map products_of l)) + eta * (total (map flush_of l) + 4 * INR (pred (length (live l)))))
    by exact (first_order_pos _ C0 f l A0).
  assert (A := amplify (length (live l)) k _ ltac:(lia) N0). assert (P := pow_1u k).
  apply Rle_trans with ((1 + u) ^ k * (u * (worst (cap l) f (live l) + total (map products_of l)) + eta * (total (map flush_of l) + 4 * INR (pred (length (live l))) + 1))).
  { assert (1 * eta <= (1 + u) ^ k * eta) by (apply Rmult_le_compat_r; lra). lra. }
  apply Rmult_le_compat_l; [lra|]. assert (Pz := products_size l).
  assert (INR (pred (length (live l))) <= INR (length l)) by (apply le_INR; lia).
  apply Rplus_le_compat; apply Rmult_le_compat_l; try lra. unfold flushes. lra.
Qed.

(** ** What the checker's formula leaves for the second order *)

Lemma seven : (1 + u) ^ 7 - 1 <= 8 * u.
Proof. unfold u. lra. Qed.

Lemma power_near k h : (k <= h)%nat -> INR h * u <= / 2 ^ 9 -> (1 + u) ^ k <= 1 + 512 / 511 * (INR h * u) /\ (1 + u) ^ k <= 512 / 511.
Proof.
  intros Hk Hh. assert (Hu := u_pos). assert (P := pos_INR h). assert (Q : 0 <= INR h * u) by (apply Rmult_le_pos; lra).
  assert (G := growth_inv k h Hk ltac:(lra)). set (x := INR h * u) in *.
  assert (I : / (1 - x) <= 512 / 511) by (replace (512 / 511) with (/ (511 / 512)) by field; apply Rinv_le_contravar; lra).
  split; [|lra]. apply Rle_trans with (1 := G). replace (/ (1 - x)) with (1 + x * / (1 - x)) by (field; lra).
  assert (x * / (1 - x) <= x * (512 / 511)) by (apply Rmult_le_compat_l; lra). lra.
Qed.

(** [12 = 1 + 11]: the bias beside the [n] products, and [extra]. *)
Definition charge (n : nat) (W M : R) : R := u * (W + 11 * M + 251 / 250 * INR (n + 12) ^ 2 * u * M).

Lemma charge_unfolded n k W M : (k <= n + 9)%nat -> INR (n + 12) * u <= / 2 ^ 9 -> 0 <= M -> 0 <= W <= INR n * M ->
  ((1 + u) ^ 7 - 1) * M + (1 + u) ^ k * (u * (W + 2 * M)) <= charge n W M.
Proof.
  intros Hk Hh HM HW. assert (Hu := u_pos). assert (P := pos_INR n). unfold charge.
  assert (E12 : INR (n + 12) = INR n + 12) by (rewrite plus_INR; simpl; ring).
  assert (E9 : INR (n + 9) = INR n + 9) by (rewrite plus_INR; simpl; ring).
  assert (H9 : INR (n + 9) * u <= / 2 ^ 9).
  { apply Rle_trans with (2 := Hh). rewrite E9, E12. apply Rmult_le_compat_r; lra. }
  destruct (power_near k (n + 9) Hk H9) as [A _]. rewrite E9 in A. rewrite E12. set (N := INR n) in *.
  assert (S7 := Rmult_le_compat_r M _ _ HM seven).
  assert (D : (1 + u) ^ k * (u * (W + 2 * M)) <= (1 + 512 / 511 * ((N + 9) * u)) * (u * (W + 2 * M)))
    by (apply Rmult_le_compat_r; [apply Rmult_le_pos; lra|exact A]).
  assert (D2 : (512 / 511 * ((N + 9) * u)) * (u * (W + 2 * M)) <= (512 / 511 * ((N + 9) * u)) * (u * ((N + 2) * M))).
  { apply Rmult_le_compat_l; [apply Rmult_le_pos; [lra|apply Rmult_le_pos; lra]|]. apply Rmult_le_compat_l; lra. }
  assert (D3 : 512 / 511 * ((N + 9) * (N + 2)) * (u * u * M) <= 251 / 250 * (N + 12) ^ 2 * (u * u * M)).
  { apply Rmult_le_compat_r; [apply Rmult_le_pos; [nra|exact HM]|]. nra. }
  assert (0 <= u * M) by (apply Rmult_le_pos; lra). lra.
Qed.

Lemma charge_folded n k W M V : (k <= n + 2)%nat -> INR (n + 12) * u <= / 2 ^ 9 -> 0 <= M -> 0 <= V -> 0 <= W <= INR n * M ->
  let D := ((1 + u) ^ 7 - 1) * M + 2 * V in
  D + (1 + u) ^ k * (u * (W + INR (n + 1) * D + (M + D))) <= charge n W M + 3 * V.
Proof.
  intros Hk Hh HM HV HW D. assert (Hu := u_pos). assert (P := pos_INR n). unfold charge.
  assert (E12 : INR (n + 12) = INR n + 12) by (rewrite plus_INR; simpl; ring).
  assert (E2 : INR (n + 2) = INR n + 2) by (rewrite plus_INR; simpl; ring).
  assert (E1 : INR (n + 1) = INR n + 1) by (rewrite plus_INR; simpl; ring).
  assert (H2 : INR (n + 2) * u <= INR (n + 12) * u) by (rewrite E2, E12; apply Rmult_le_compat_r; lra).
  destruct (power_near k (n + 2) Hk ltac:(lra)) as [A B]. rewrite E2 in *. rewrite E12 in *. rewrite E1. set (N := INR n) in *.
  assert (S7 := Rmult_le_compat_r M _ _ HM seven). set (a := (1 + u) ^ k) in *.
  assert (A1 : 1 <= a) by apply pow_1u.
  assert (HD : 0 <= D <= 8 * u * M + 2 * V).
  { unfold D. split; [|lra]. assert (0 <= ((1 + u) ^ 7 - 1) * M) by (apply Rmult_le_pos; [generalize (pow_1u 7); lra|exact HM]). lra. }
  clearbody D. assert (U0 : 0 <= u * (N + 2)) by (apply Rmult_le_pos; lra).
  assert (K1 : a * (u * (N + 2) * D) <= 512 / 511 * (u * (N + 2) * D)) by (apply Rmult_le_compat_r; [apply Rmult_le_pos; lra|exact B]).
  assert (K2 : u * (N + 2) * D <= u * (N + 2) * (8 * u * M + 2 * V)) by (apply Rmult_le_compat_l; lra).
  assert (K3 : u * (N + 2) * V <= / 2 ^ 9 * V) by (apply Rmult_le_compat_r; lra).
  assert (K4 : a * (u * (W + M)) <= (1 + 512 / 511 * ((N + 2) * u)) * (u * (W + M))) by (apply Rmult_le_compat_r; [apply Rmult_le_pos; lra|exact A]).
  assert (K5 : (512 / 511 * ((N + 2) * u)) * (u * (W + M)) <= (512 / 511 * ((N + 2) * u)) * (u * ((N + 1) * M))).
  { apply Rmult_le_compat_l; [apply Rmult_le_pos; [lra|apply Rmult_le_pos; lra]|]. apply Rmult_le_compat_l; lra. }
  assert (K6 : (512 / 511 * ((N + 2) * (N + 1)) + 512 / 511 * 8 * (N + 2)) * (u * u * M) <= 251 / 250 * (N + 12) ^ 2 * (u * u * M)).
  { apply Rmult_le_compat_r; [apply Rmult_le_pos; [nra|exact HM]|]. nra. }
  assert (0 <= u * M) by (apply Rmult_le_pos; lra).
  replace (a * (u * (W + (N + 1) * D + (M + D)))) with (a * (u * (W + M)) + a * (u * (N + 2) * D)) by ring. lra.
Qed.

Section Parameters.
Variables gamma beta mean var eps : R.
Hypothesis Hvar : 0 <= var.
Hypothesis Heps : / 2 ^ 100 <= eps.
Let g : R := factor gamma var eps.
Let norm : R -> R -> Prop := batch_norm gamma beta mean var eps.
Let exactly : R -> R := normalised gamma beta mean var eps.
Let heavy : R -> R := mass gamma beta mean var eps.
Let tiny : R -> R := flush gamma var eps.

Lemma tiny_mono a b : a <= b -> tiny a <= tiny b.
Proof.
  intros H. unfold tiny, flush. assert (I := inverse_pos var eps Hvar Heps). assert (G := Rabs_pos gamma). assert (He := eta_pos).
  apply Rmult_le_compat_l; [lra|]. apply Rmult_le_compat_l; [apply Rmult_le_pos; lra|lra].
Qed.

Lemma tiny_pos a : 0 <= a -> 0 <= tiny a.
Proof.
  intros H. unfold tiny, flush. assert (I := inverse_pos var eps Hvar Heps). assert (G := Rabs_pos gamma). assert (He := eta_pos).
  repeat apply Rmult_le_pos; lra.
Qed.

(** The convolution: products [w x] and a bias. Its exact sum, and the magnitudes after the normalisation, that of
    everything that does not depend on the operands being one term. *)
Variable ws : list (R * R).
Variable b : R.
Definition terms : list term := map (fun p => Product (fst p) (snd p)) ws ++ [Constant b].
Definition magnitudes : list R := map (fun p => Rabs (g * (fst p * snd p))) ws ++ [heavy (Rabs b)].

Lemma total_magnitudes : total magnitudes = heavy (size terms).
Proof.
  unfold magnitudes, terms, heavy, mass. fold g. rewrite size_app, total_app.
  change (size [Constant b]) with (Rabs b + 0). cbn [total fold_right].
  assert (E : total (map (fun p => Rabs (g * (fst p * snd p))) ws) = Rabs g * size (map (fun p => Product (fst p) (snd p)) ws)).
  { unfold size. clear b. induction ws as [|[w x] l IH]; [simpl; ring|]. cbn [map total fold_right fst snd].
    change (fold_right Rplus 0) with total. rewrite IH, Rabs_mult. unfold magnitude. cbn [exact]. ring. }
  rewrite E. ring.
Qed.

Lemma exactly_sum : exactly (exact_sum terms) = total (map (fun p => g * (fst p * snd p)) ws) + exactly b.
Proof.
  unfold exactly, normalised, terms. fold g. rewrite exact_sum_app. change (exact_sum [Constant b]) with (b + 0).
  assert (E : g * exact_sum (map (fun p => Product (fst p) (snd p)) ws) = total (map (fun p => g * (fst p * snd p)) ws)).
  { unfold exact_sum. clear b. induction ws as [|[w x] l IH]; [simpl; ring|]. cbn [map total fold_right fst snd exact].
    change (fold_right Rplus 0) with total. rewrite <- IH. ring. }
  rewrite <- E. ring.
Qed.

Lemma terms_length : length terms = S (length ws).
Proof. unfold terms. rewrite app_length, map_length. simpl. lia. Qed.

(** What the checker knows: bounds of the magnitudes, of the whole, and the cap of partial sums. *)
Variables (bs : list R) (c f : R).
Hypothesis Hbs : Forall2 Rle magnitudes bs.
Hypothesis Hf : Rabs (exactly (exact_sum terms)) <= f <= total bs.
Hypothesis Hc : total bs + f <= 2 * c.
Hypothesis Hn : INR (length ws + 12) * u <= / 2 ^ 9.

Lemma magnitudes_pos : nonneg magnitudes.
Proof.
  apply Forall_app. split.
  - apply Forall_forall. intros r Hr. apply in_map_iff in Hr. destruct Hr as (p & <- & _). apply Rabs_pos.
  - constructor; [|constructor]. unfold heavy, mass. generalize (Rabs_pos b) (Rabs_pos mean) (Rabs_pos beta). intros.
    apply Rplus_le_le_0_compat; [apply Rmult_le_pos; [apply Rabs_pos|lra]|lra].
Qed.

Lemma worst_room : 0 <= total bs /\ 0 <= worst c f bs <= INR (length ws) * total bs.
Proof.
  assert (Nb := nonneg_le _ _ Hbs magnitudes_pos). assert (T := total_pos _ Nb). assert (A := Rabs_pos (exactly (exact_sum terms))).
  split; [exact T|]. split; [apply worst_pos; [lra|lra|exact Nb]|].
  assert (K := worst_simple c f bs Nb ltac:(lra)). rewrite <- (length_le _ _ Hbs) in K. unfold magnitudes in K.
  rewrite app_length, map_length in K. simpl in K. replace (pred (length ws + 1)) with (length ws) in K by lia. exact K.
Qed.

(** ** Not folded: the sum, and then the normalisation in any form *)

Definition underflow_after : R := 2 * (eta * (Rabs g * flushes terms) + tiny (2 * size terms + Rabs mean + flushes terms)).

Theorem normalised_after y z : sum terms (Finite y) -> in_range terms -> norm y z ->
  Rabs (z - exactly (exact_sum terms)) <= charge (length ws) (worst c f bs) (total bs) + underflow_after.
Proof.
  intros Hs Hr Hz. set (n := length ws). destruct worst_room as [T0 [W0 W1]]. fold n in W1.
  assert (Hu := u_pos). assert (He := eta_pos). assert (Sz := exact_sum_size terms). assert (Z0 := size_pos terms).
  assert (A0 := Rabs_pos (exact_sum terms)). assert (G0 := Rabs_pos g). assert (Mm := Rabs_pos mean). assert (Bb := Rabs_pos beta).
  assert (Tm := total_le _ _ Hbs). rewrite total_magnitudes in Tm. unfold heavy, mass in Tm. fold g in Tm.
  assert (Gs : 0 <= Rabs g * size terms) by (apply Rmult_le_pos; lra).
  assert (Gm : 0 <= Rabs g * Rabs mean) by (apply Rmult_le_pos; lra).
  assert (Ge := in_range_error terms y Hs Hr (n + 2) ltac:(rewrite terms_length; unfold n; lia)).
  set (S := exact_sum terms) in *. set (Wc := worst (cap terms) (Rabs S) (map magnitude terms)) in *.
  assert (F0 : 0 <= flushes terms).
  { unfold flushes. generalize (flush_pos terms) (pos_INR (length terms)). lra. }
  set (fl := flushes terms) in *. set (E := (1 + u) ^ (n + 2) * (u * (Wc + size terms) + eta * fl)) in *.
  assert (Nm : nonneg (map magnitude terms)).
  { apply Forall_forall. intros r Hx. apply in_map_iff in Hx. destruct Hx as (t & <- & _). apply magnitude_pos. }
  assert (C0 : 0 <= cap terms) by (unfold cap; fold S; lra).
  assert (Wc0 : 0 <= Wc) by (apply worst_pos; [exact C0|exact A0|exact Nm]).
  assert (E0 : 0 <= E).
  { unfold E. apply Rmult_le_pos; [generalize (pow_1u (n + 2)); lra|].
    apply Rplus_le_le_0_compat; apply Rmult_le_pos; lra. }
  assert (Ab : about 0 (Rabs S) E S y) by (split; [exact E0|]; split; [lra|]; rewrite pow_O; lra).
  destruct (batch_norm_about gamma beta mean var eps Hvar Heps _ _ _ _ _ Ab Hz) as (_ & _ & K).
  fold g in K. change (normalised gamma beta mean var eps S) with (exactly S) in K.
  fold (heavy (Rabs S)) in K. fold (tiny (Rabs S + Rabs mean + E)) in K.
  (* the sum's error after the factor, with the checker's terms *)
  assert (Gw : Rabs g * Wc <= worst c f bs + total bs).
  { unfold Wc. rewrite worst_scale by exact G0.
    apply Rle_trans with (worst c (f + (Rabs g * Rabs mean + Rabs beta)) magnitudes).
    - assert (Tf : Rabs g * Rabs S <= f + (Rabs g * Rabs mean + Rabs beta)).
      { rewrite <- Rabs_mult. replace (g * S) with (exactly S + (g * mean + - beta)) by (unfold exactly, normalised; fold g; ring).
        apply Rle_trans with (1 := Rabs_triang _ _). assert (Q := Rabs_triang (g * mean) (- beta)).
        rewrite Rabs_Ropp, Rabs_mult in Q. lra. }
      apply worst_mono; [|exact Tf|].
      + unfold cap. fold S. lra.
      + unfold magnitudes, terms. rewrite !map_app, !map_map. apply Forall2_app.
        * clear -G0. induction ws as [|[w x] l IH]; constructor; [|exact IH]. cbn [fst snd]. unfold magnitude. cbn [exact].
          rewrite (Rabs_mult g). lra.
        * constructor; [|constructor]. unfold heavy, mass. fold g. unfold magnitude. cbn [exact]. lra.
    - apply Rle_trans with (1 := worst_whole c f (Rabs g * Rabs mean + Rabs beta) magnitudes ltac:(lra)).
      assert (Q := worst_le c f f _ _ (Rle_refl f) Hbs). lra. }
  assert (GE : Rabs g * E <= (1 + u) ^ (n + 2) * (u * (worst c f bs + 2 * total bs)) + (1 + u) ^ (n + 2) * (eta * (Rabs g * fl))).
  { unfold E. replace (Rabs g * ((1 + u) ^ (n + 2) * (u * (Wc + size terms) + eta * fl))) with
      ((1 + u) ^ (n + 2) * (u * (Rabs g * Wc + Rabs g * size terms)) + (1 + u) ^ (n + 2) * (eta * (Rabs g * fl))) by ring.
    apply Rplus_le_compat_r. apply Rmult_le_compat_l; [generalize (pow_1u (n + 2)); lra|]. apply Rmult_le_compat_l; lra. }
  assert (Hn2 : INR (n + 2) * u <= INR (n + 12) * u) by (apply Rmult_le_compat_r; [lra|apply le_INR; lia]).
  assert (Hn9 : INR (n + 9) * u <= INR (n + 12) * u) by (apply Rmult_le_compat_r; [lra|apply le_INR; lia]).
  fold n in Hn. destruct (power_near (n + 2) (n + 2) ltac:(lia) ltac:(lra)) as [_ P2]. destruct (power_near (n + 9) (n + 9) ltac:(lia) ltac:(lra)) as [_ P9].
  assert (Ee : E <= size terms + fl).
  { assert (Q := worst_simple (cap terms) (Rabs S) _ Nm ltac:(change (total (map magnitude terms)) with (size terms); lra)).
    fold Wc in Q. rewrite map_length, terms_length in Q. change (pred (Datatypes.S (length ws))) with n in Q. change (total (map magnitude terms)) with (size terms) in Q.
    assert (Q2 : u * (Wc + size terms) <= u * (INR (n + 2) * size terms)).
    { apply Rmult_le_compat_l; [lra|]. replace (INR (n + 2)) with (INR n + 2) by (rewrite plus_INR; simpl; ring). lra. }
    assert (Q3 : INR (n + 2) * u * size terms <= / 2 ^ 9 * size terms) by (apply Rmult_le_compat_r; lra).
    assert (Q4 := eta_tiny fl F0). assert (1 <= (1 + u) ^ (n + 2)) by apply pow_1u.
    unfold E. apply Rle_trans with (512 / 511 * (u * (Wc + size terms) + eta * fl)); [|lra].
    apply Rmult_le_compat_r; [|exact P2]. apply Rplus_le_le_0_compat; apply Rmult_le_pos; lra. }
  assert (Ti : tiny (Rabs S + Rabs mean + E) <= tiny (2 * size terms + Rabs mean + fl)) by (apply tiny_mono; lra).
  assert (Tp : 0 <= tiny (2 * size terms + Rabs mean + fl)) by (apply tiny_pos; lra).
  assert (Ms : heavy (Rabs S) <= total bs).
  { unfold heavy, mass. fold g. assert (Rabs g * Rabs S <= Rabs g * size terms) by (apply Rmult_le_compat_l; lra). lra. }
  assert (Ch := charge_unfolded n (n + 9) (worst c f bs) (total bs) ltac:(lia) Hn T0 (conj W0 W1)).
  assert (P7 := pow_1u 7). assert (S7 := seven). assert (Eq : (1 + u) ^ (n + 9) = (1 + u) ^ 7 * (1 + u) ^ (n + 2)) by (rewrite <- pow_add; f_equal; lia).
  assert (X0 : 0 <= eta * (Rabs g * fl)) by (apply Rmult_le_pos; [lra|now apply Rmult_le_pos]).
  assert (K1 := Rmult_le_compat_l ((1 + u) ^ 7) _ _ ltac:(lra) GE).
  assert (K2 : ((1 + u) ^ 7 - 1) * heavy (Rabs S) <= ((1 + u) ^ 7 - 1) * total bs) by (apply Rmult_le_compat_l; lra).
  assert (U2 : (1 + u) ^ 7 <= 2) by (unfold u in S7 |- *; lra).
  assert (K3 : (1 + u) ^ 7 * tiny (Rabs S + Rabs mean + E) <= 2 * tiny (2 * size terms + Rabs mean + fl)).
  { apply Rmult_le_compat; try lra. apply tiny_pos. lra. }
  assert (K4 : (1 + u) ^ (n + 9) * (eta * (Rabs g * fl)) <= 2 * (eta * (Rabs g * fl))) by (apply Rmult_le_compat_r; lra).
  unfold underflow_after. fold fl. rewrite Eq in Ch, K4. lra.
Qed.

(** ** Folded: weights times the factor, rounded, and the normalised bias, beforehand *)

(** Each weight with a factor of its own, if it likes. *)
Definition folds (w w' : R) : Prop := exists q, factor_is gamma var eps q /\ operation Rmult w q w'.

Lemma folds_about w w' : folds w w' -> about 7 (Rabs g * Rabs w) (tiny (Rabs w)) (g * w) w'.
Proof.
  intros (q & Hq & H). assert (Kf := about_factor gamma var eps Hvar Heps q Hq). assert (He := eta_pos).
  assert (I := inverse_pos var eps Hvar Heps). assert (G := Rabs_pos gamma). assert (Hw := Rabs_pos w).
  assert (K := about_operation_mult _ _ _ _ _ _ _ _ _ _ _ Kf (about_itself w) (operation_mult_comm _ _ _ H)).
  unfold g. apply (about_more _ _ _ _ _ _ _ K); [lia|].
  rewrite (factor_abs gamma var eps Hvar Heps). unfold tiny, flush.
  set (a := Rabs gamma) in *. set (i := / deviation var eps) in *. set (x := Rabs w) in *.
  nonneg_products a i x 0. apply Rle_trans with (0 + 32 * eta * ((1 + a) * (1 + i) * (1 + x))); [|lra].
  by_eta 0 (a * i + (i + 2 * a + 3) * (x + eta) + 1). lra.
Qed.

(** The changes that folding makes of the terms. *)
Definition moved (p : R * R) : R :=
  ((1 + u) ^ 7 - 1) * Rabs (g * (fst p * snd p)) + (1 + u) ^ 7 * (tiny (Rabs (fst p)) * Rabs (snd p)).
Definition moved_bias : R := ((1 + u) ^ 7 - 1) * heavy (Rabs b) + (1 + u) ^ 7 * tiny (Rabs b + Rabs mean).

Lemma folds_moved w w' x : folds w w' -> Rabs (w' * x - g * (w * x)) <= moved (w, x).
Proof.
  intros H. destruct (folds_about w w' H) as (_ & _ & K). unfold moved. cbn [fst snd].
  replace (w' * x - g * (w * x)) with ((w' - g * w) * x) by ring. rewrite Rabs_mult.
  apply Rle_trans with ((((1 + u) ^ 7 - 1) * (Rabs g * Rabs w) + (1 + u) ^ 7 * tiny (Rabs w)) * Rabs x).
  - apply Rmult_le_compat_r; [apply Rabs_pos|exact K].
  - rewrite !Rabs_mult. lra.
Qed.

Lemma bias_moved b' : norm b b' -> Rabs (b' - exactly b) <= moved_bias /\ Rabs b' <= heavy (Rabs b) + moved_bias.
Proof.
  intros H. destruct (batch_norm_about gamma beta mean var eps Hvar Heps _ _ _ _ _ (about_itself b) H) as (_ & A & K).
  fold g in K. rewrite Rmult_0_r, Rplus_0_l, Rplus_0_r in K. fold (heavy (Rabs b)) in *. fold (tiny (Rabs b + Rabs mean)) in K.
  change (normalised gamma beta mean var eps b) with (exactly b) in *. change (Rabs (b' - exactly b) <= moved_bias) in K.
  split; [exact K|]. replace b' with ((b' - exactly b) + exactly b) by ring. apply Rle_trans with (1 := Rabs_triang _ _). lra.
Qed.

Definition underflow_weights : R :=
  total (map (fun p => tiny (Rabs (fst p)) * Rabs (snd p)) ws) + tiny (Rabs b + Rabs mean).

Definition folded_terms (ws' : list R) (b' : R) : list term :=
  map (fun p => Product (fst p) (snd p)) (combine ws' (map snd ws)) ++ [Constant b'].

Theorem normalised_folded ws' b' v : Forall2 (fun p w' => folds (fst p) w') ws ws' -> norm b b' ->
  sum (folded_terms ws' b') (Finite v) -> in_range (folded_terms ws' b') ->
  Rabs (v - exactly (exact_sum terms)) <=
  charge (length ws) (worst c f bs) (total bs) + 3 * underflow_weights + 2 * (eta * flushes (folded_terms ws' b')).
Proof.
  intros Hw Hb Hs Hr. set (n := length ws). destruct worst_room as [T0 [W0 W1]]. fold n in W1.
  assert (Hu := u_pos). assert (He := eta_pos). destruct (bias_moved b' Hb) as [B1 B2].
  assert (P7 := pow_1u 7). assert (S7 := seven).
  (* the terms, one by one *)
  set (larger := map (fun p => Rabs (g * (fst p * snd p)) + moved p) ws ++ [heavy (Rabs b) + moved_bias]).
  set (ps := fun l : list (R * R) => map (fun p => Product (fst p) (snd p)) l).
  assert (Tw : length (combine ws' (map snd ws)) = n /\
    Forall2 Rle (map magnitude (ps (combine ws' (map snd ws)))) (map (fun p => Rabs (g * (fst p * snd p)) + moved p) ws) /\
    Rabs (exact_sum (ps (combine ws' (map snd ws))) - total (map (fun p => g * (fst p * snd p)) ws)) <= total (map moved ws)).
  { clear -Hw Hvar Heps. unfold n, ps. induction Hw as [|[w x] w' l l' H _ (I1 & I2 & I3)].
    - split; [reflexivity|]. split; [constructor|]. unfold exact_sum. simpl. rewrite Rminus_0_r, Rabs_R0. lra.
    - cbn [map combine fst snd length] in *. assert (K := folds_moved w w' x H). split; [now rewrite I1|]. split.
      + constructor; [|exact I2]. cbn [fst snd]. unfold magnitude. cbn [exact].
        replace (w' * x) with ((w' * x - g * (w * x)) + g * (w * x)) by ring. apply Rle_trans with (1 := Rabs_triang _ _). lra.
      + unfold exact_sum in *. cbn [map total fold_right exact fst snd]. change (fold_right Rplus 0) with total.
        match goal with |- Rabs (?a + ?b - (?d + ?e)) <= _ => replace (a + b - (d + e)) with ((a - d) + (b - e)) by ring end.
        apply Rle_trans with (1 := Rabs_triang _ _). lra. }
  destruct Tw as (L & Fm & Ex). set (l' := folded_terms ws' b') in *.
  assert (Ll : length l' = S n) by (unfold l', folded_terms; rewrite app_length, map_length, L; simpl; lia).
  assert (Fl : Forall2 Rle (map magnitude l') larger).
  { unfold l', folded_terms, larger. rewrite map_app. apply Forall2_app; [exact Fm|]. constructor; [|constructor]. exact B2. }
  (* all changes together *)
  assert (V0 : 0 <= underflow_weights).
  { unfold underflow_weights. apply Rplus_le_le_0_compat; [|apply tiny_pos; generalize (Rabs_pos b) (Rabs_pos mean); lra].
    apply total_pos, Forall_forall. intros r Hx. apply in_map_iff in Hx. destruct Hx as (p & <- & _).
    apply Rmult_le_pos; [apply tiny_pos|]; apply Rabs_pos. }
  set (D0 := ((1 + u) ^ 7 - 1) * total magnitudes + (1 + u) ^ 7 * underflow_weights).
  assert (Tmv : total (map moved ws) + moved_bias = D0).
  { unfold D0, magnitudes, underflow_weights, moved_bias. rewrite total_app. cbn [total fold_right].
    assert (E : total (map moved ws) = ((1 + u) ^ 7 - 1) * total (map (fun p => Rabs (g * (fst p * snd p))) ws) +
      (1 + u) ^ 7 * total (map (fun p => tiny (Rabs (fst p)) * Rabs (snd p)) ws)).
    { clear. induction ws as [|p l IH]; [simpl; ring|]. cbn [map total fold_right] in *. change (fold_right Rplus 0) with total in *.
      rewrite IH. unfold moved. ring. }
    rewrite E. ring. }
  assert (Tl : total larger = total magnitudes + D0).
  { rewrite <- Tmv. unfold larger, magnitudes. rewrite !total_app. cbn [total fold_right].
    assert (E : total (map (fun p => Rabs (g * (fst p * snd p)) + moved p) ws) =
      total (map (fun p => Rabs (g * (fst p * snd p))) ws) + total (map moved ws)).
    { clear. induction ws as [|p l IH]; [simpl; ring|]. cbn [map total fold_right] in *. change (fold_right Rplus 0) with total in *.
      rewrite IH. ring. }
    rewrite E. ring. }
  assert (Fg : Forall2 Rle magnitudes larger).
  { assert (M0 : 0 <= moved_bias) by (apply Rle_trans with (2 := B1), Rabs_pos).
    unfold magnitudes, larger. apply Forall2_app; [|constructor; [lra|constructor]].
    clear -Hw Hvar Heps. induction Hw as [|[w x] w' l k H _ IH]; constructor; [|exact IH].
    assert (K := folds_moved w w' x H). generalize (Rabs_pos (w' * x - g * (w * x))). cbn [fst snd]. lra. }
  assert (Tm := total_le _ _ Hbs). assert (Tm0 := total_pos _ magnitudes_pos).
  set (V := underflow_weights) in *. set (D := ((1 + u) ^ 7 - 1) * total bs + 2 * V).
  assert (HD : 0 <= D0 <= D).
  { unfold D0, D. assert (U2 : (1 + u) ^ 7 <= 2) by (unfold u in S7 |- *; lra).
    assert (0 <= ((1 + u) ^ 7 - 1) * total magnitudes <= ((1 + u) ^ 7 - 1) * total bs)
      by (split; [apply Rmult_le_pos|apply Rmult_le_compat_l]; lra).
    assert (0 <= (1 + u) ^ 7 * V <= 2 * V) by (split; [apply Rmult_le_pos|apply Rmult_le_compat_r]; lra). split; lra. }
  assert (X : Rabs (exact_sum l' - exactly (exact_sum terms)) <= D).
  { rewrite exactly_sum. unfold l', folded_terms. rewrite exact_sum_app. fold ps in Ex. change (exact_sum [Constant b']) with (b' + 0).
    match goal with |- Rabs (?a + (b' + 0) - (?d + ?e)) <= _ => replace (a + (b' + 0) - (d + e)) with ((a - d) + (b' - e)) by ring end.
    apply Rle_trans with (1 := Rabs_triang _ _). unfold ps in Ex. lra. }
  assert (Xf : Rabs (exact_sum l') <= f + D).
  { replace (exact_sum l') with ((exact_sum l' - exactly (exact_sum terms)) + exactly (exact_sum terms)) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _). lra. }
  assert (Sl : size l' <= total bs + D) by (generalize (total_le _ _ Fl); unfold size; lra).
  assert (Wl : worst (cap l') (Rabs (exact_sum l')) (map magnitude l') <= worst c f bs + INR (n + 1) * D).
  { apply Rle_trans with (1 := worst_le _ _ _ _ _ (Rle_refl _) Fl).
    assert (K := worst_shift c (cap l') f (Rabs (exact_sum l')) magnitudes larger D Fg ltac:(lra) ltac:(lra) ltac:(unfold cap; lra) Xf).
    assert (Q := worst_le c f f _ _ (Rle_refl f) Hbs).
    assert (Lm : length magnitudes = (n + 1)%nat) by (unfold magnitudes; rewrite app_length, map_length; reflexivity).
    rewrite Lm in K. lra. }
  assert (Ge := in_range_error l' v Hs Hr (n + 2) ltac:(rewrite Ll; lia)).
  assert (Ch := charge_folded n (n + 2) (worst c f bs) (total bs) V ltac:(lia) Hn T0 V0 (conj W0 W1)). fold D in Ch. cbv zeta in Ch.
  assert (Hn2 : INR (n + 2) * u <= INR (n + 12) * u) by (apply Rmult_le_compat_r; [lra|apply le_INR; lia]).
  fold n in Hn. destruct (power_near (n + 2) (n + 2) ltac:(lia) ltac:(lra)) as [_ P2]. assert (P1 := pow_1u (n + 2)).
  assert (F0 : 0 <= eta * flushes l').
  { apply Rmult_le_pos; [lra|]. unfold flushes. generalize (flush_pos l') (pos_INR (length l')). lra. }
  assert (K1 : (1 + u) ^ (n + 2) * (eta * flushes l') <= 2 * (eta * flushes l')) by (apply Rmult_le_compat_r; lra).
  assert (K2 : (1 + u) ^ (n + 2) * (u * (worst (cap l') (Rabs (exact_sum l')) (map magnitude l') + size l')) <=
               (1 + u) ^ (n + 2) * (u * (worst c f bs + INR (n + 1) * D + (total bs + D)))).
  { apply Rmult_le_compat_l; [lra|]. apply Rmult_le_compat_l; lra. }
  replace (v - exactly (exact_sum terms)) with ((v - exact_sum l') + (exact_sum l' - exactly (exact_sum terms))) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rmult_plus_distr_l in Ge. lra.
Qed.
End Parameters.
