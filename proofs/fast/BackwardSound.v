(** * The backward pass is sound

    - [steps_ok], [bound_below]: when all units are visited, the sums are at least those of bound
      (1);
    - [backward_ok]: if [backward] returns r, there are dual vectors with which bound (1) of
      docs/bound.md, section 3, is at most r, for all pairs of classes and all pixels.

    Rests on BackwardVisit.v. Stands behind [adjoint] in duals.py and ledger.py. *)

From Coq Require Import Reals Lra Lia ZArith List Bool FMapPositive Uint63.
From Lastbit Require Import Statement Totals network.Duals network.Forms network.Bound
  network.Classes.
From Lastbit Require Import checker.Program checker.Numbers fast.Backward fast.Modular fast.PairSums
  fast.PassBack fast.BackwardVisit.
Import ListNotations.
Open Scope R_scope.

Section Pass.
Variables (logits : list positive) (scale : positive -> Z) (V : nat -> visited) (n : nat).
Notation N := (length logits).
Notation visit_ok := (visit_ok logits scale V n).
Notation passed := (passed scale V n).
Notation off_at := (off_at logits scale V n).
Notation chosen_at := (chosen_at logits).
Notation behind := (behind logits scale V n).
Notation core_at := (core_at V).
Notation dual_at := (dual_at scale).
Notation gap := (gap scale).

Lemma step_ok a k st st' : (k < n)%nat -> behind a (S k) st ->
  step logits scale (key k) (V k) st = Some st' ->
  exists a', behind a' k st'.
Proof.
  intros Hk Hb. assert (Cx := b_cells Hb k ltac:(lia)). unfold step, cell_at in *.
  assert (Skip : behind a k st \/ existsb (Pos.eqb (key k)) logits = true \/
    PositiveMap.find (key k) (cells st) <> None).
  { destruct (PositiveMap.find (key k) (cells st)) eqn:F; [right; right; discriminate|].
    destruct (existsb (Pos.eqb (key k)) logits) eqn:X; [now right; left|]. left.
    destruct Cx as (_ & _ & zh & zl & H). destruct Hb as [B1 B2 B3 B4 B5 B6]. split; try assumption.
    - intros i c Li. apply B1. lia.
    - intros j Hj. apply B3. lia.
    - intros c j Lc Lj. apply Rle_trans with (2 := B6 c j Lc Lj). right. apply over_ext. intros i _.
      destruct (Nat.leb_spec (S k) i) as [L|L], (Nat.leb_spec k i) as [L'|L']; try lia;
        try reflexivity.
      replace i with k by lia.
      assert (P : forall c, (c < N)%nat -> passed a k c = 0).
      { intros i' Li. destruct (H i' Li) as (_ & _ & Z1 & Z2 & B).
        cbn [empty_cell c_mass c_off] in Z1, Z2, B. change (to_Z 0) with 0%Z in *.
        replace (zh i') with 0%Z in B by lia. replace (zl i') with 0%Z in B by lia.
        assert (Q := p2_pos (36 - scale (key k))).
        apply (Rmult_eq_reg_r (p2 (36 - scale (key k)))); [|lra].
        change (0 * 65536 + 0)%Z with 0%Z in B. unfold Rdiv in B.
        rewrite !Rmult_0_l, Rminus_0_r in B. revert B. unfold Rabs. destruct Rcase_abs; lra. }
      assert (Ch : forall c, (c < N)%nat -> chosen_at c k = 0).
      { intros i' Li. unfold chosen_at. rewrite <- (num_key k) at 1. rewrite <- num_eqb.
        destruct (Pos.eqb_spec (nth i' logits 1%positive) (key k)) as [E|]; [|reflexivity]. exfalso.
        assert (T : existsb (Pos.eqb (key k)) logits = true).
        { apply existsb_exists. exists (nth i' logits 1%positive). split; [now apply nth_In|].
          now apply Pos.eqb_eq. }
        rewrite X in T. discriminate. }
      unfold off_at, gap, dual_at, scaled_dual. rewrite !P, !Ch, !B1 by lia. 
      match goal with |- context [Rabs ?t] => replace t with 0 by ring end. rewrite Rabs_R0. lra. }
  destruct (PositiveMap.find (key k) (cells st)) as [x|] eqn:F.
  - intros E. match type of E with visit _ _ _ _ _ ?y = _ =>
      destruct (visit_ok a k st y st' x Hk Hb eq_refl eq_refl eq_refl eq_refl) as [z Z] end; 
        [|exact Cx|exact E|now exists (extended a k z)].
    intros j Hj. assert (B := b_cells Hb j ltac:(lia)). cbn [cells]. unfold cell_at in *.
    rewrite PositiveMap.gro; [exact B|].
    intros E'. apply (f_equal num) in E'. rewrite !num_key in E'. lia.
  - destruct (existsb _ _) eqn:X.
    + intros E.
      destruct (visit_ok a k st st st' empty_cell Hk Hb eq_refl eq_refl eq_refl eq_refl) as [z Z];
        [|exact Cx|exact E|now exists (extended a k z)].
      intros j Hj. apply (b_cells Hb). lia.
    + intros [= <-]. exists a. destruct Skip as [S|[S|S]]; [exact S|discriminate|easy].
Qed.

Lemma steps_ok l p a st st' : (length l <= n)%nat ->
  (forall k v, nth_error (rev l) k = Some v -> V k = v) ->
  (forall k, length l = S k -> p = key k) -> behind a (length l) st ->
  steps logits scale p l st = Some st' ->
  exists a', behind a' 0 st'.
Proof.
  revert p a st. induction l as [|v l IH]; intros p a st Hn HV Hp Hb; cbn [steps].
  - intros [= <-]. now exists a.
  - destruct (step _ _ _ _ _) as [st1|] eqn:E; [|discriminate]. intros E'. cbn [length] in *.
    rewrite (Hp _ eq_refl) in *. rewrite <- (HV (length l) v) in E.
    2: { cbn [rev]. rewrite nth_error_app2; rewrite length_rev; [|lia]. now rewrite Nat.sub_diag. }
    destruct (step_ok a (length l) st st1 ltac:(lia) Hb E) as [a1 H1].
    apply (IH (Pos.pred (key (length l))) a1 st1); [lia| | |exact H1|exact E'].
    + intros k v' Hk. apply HV. cbn [rev]. rewrite nth_error_app1; [exact Hk|].
      apply nth_error_Some. now rewrite Hk.
    + intros k ->. unfold key. cbn [Pos.of_succ_nat]. apply Pos.pred_succ.
Qed.

Lemma start_ok : behind (fun _ _ => 0%Z) n start.
Proof.
  assert (D : forall i c, dual_at (fun _ _ => 0%Z) i c = 0)
    by (intros; unfold dual_at, scaled_dual; lra).
  assert (P : forall j c, passed (fun _ _ => 0%Z) j c = 0).
  { intros j c. unfold passed. rewrite (over_cut n 0); [reflexivity|lia|]. intros i _. rewrite D.
    lra. }
  assert (G : forall c j w, over n (fun i => Rabs (gap (fun _ _ => 0%Z) c j i) * w i) = 0).
  { intros c j w. rewrite (over_cut n 0); [reflexivity|lia|]. intros i _. unfold gap.
    rewrite !D, Rminus_0_r, Rabs_R0. lra. }
  split; cbn [start cells sums mass early defects].
  - reflexivity.
  - intros. rewrite D. lra.
  - intros j _. unfold cell_at. rewrite PositiveMap.gempty. split; [|split]; [cbn; lia|cbn; lia|].
    exists (fun _ => 0%Z), (fun _ => 0%Z).
    intros c _. cbn [empty_cell c_mass c_off c_high c_low]. change (to_Z 0) with 0%Z.
    assert (Z0 : nth c (@nil int) 0%uint63 = 0%uint63) by now destruct c. rewrite Z0, P.
    repeat split; try lia. rewrite Rmult_0_l. change (0 * 65536 + 0)%Z with 0%Z. unfold Rdiv.
    rewrite Rmult_0_l, Rminus_0_r, Rabs_R0. lra.
  - apply (table_le _ _ _ _ _) with (2 := table_empty _ _). intros c j _ _. rewrite G. lra.
  - intros q. unfold early_at. rewrite PositiveMap.gempty.
    apply (table_le _ _ _ _ _) with (2 := table_empty _ _). intros c j _ _. rewrite G. lra.
  - intros c j _ _.
    rewrite (over_cut n 0); [change (to_Z 0) with 0%Z; unfold over; simpl; lra|lia|]. intros i Hi.
    destruct (Nat.leb_spec n i); [lia|reflexivity].
Qed.

(** ** The bound *)

Lemma finish_ok st q c j : (c < j)%nat -> (j < N)%nat ->
  (IZR (to_Z (sum_of (sums st) c j)) + IZR (to_Z (sum_of (fst (early_at (early st) (key q))) c j)) +
    IZR (to_Z (defects st))) * p2 (- 56) <=
  real (finish N st).
Proof.
  intros Hc Hj. unfold finish. set (l := PositiveMap.elements (early st)).
  set (r := fold_right _ _ l).
  assert (L : forall e, In e l -> (highest N (sums st) (fst (snd e)) <= r)%Z /\
    (highest N (sums st) [] <= r)%Z).
  { unfold r. induction l as [|x l' IH]; [easy|]. intros e [->|I]; cbn [fold_right].
    - split; [lia|]. destruct l' as [|y l']; [cbn; lia|].
      generalize (proj2 (IH y (or_introl eq_refl))). lia.
    - generalize (IH e I). lia. }
  assert (H :
    (to_Z (sum_of (sums st) c j) + to_Z (sum_of (fst (early_at (early st) (key q))) c j) <= r)%Z).
  { unfold early_at. destruct (PositiveMap.find (key q) (early st)) as [e|] eqn:F.
    - apply Z.le_trans with (1 := highest_ok N _ _ c j Hc Hj).
      apply PositiveMap.elements_correct in F. exact (proj1 (L _ F)).
    - apply Z.le_trans with (1 := highest_ok N _ _ c j Hc Hj). cbn [fst]. unfold r. clear L r.
      induction l as [|x l' IH]; cbn [fold_right]; lia. }
  apply IZR_le in H. rewrite plus_IZR in H. unfold real.
  rewrite Z.shiftl_mul_pow2, mult_IZR, plus_IZR by lia. change (p2 (- 56)) with (/ 2 ^ 56). lra.
Qed.

Lemma finish_pos st : 0 <= real (finish N st).
Proof.
  apply real_pos. unfold finish. apply Z.shiftl_nonneg. assert (P := to_Z_bounded (defects st)).
  assert (0 <= fold_right (fun e => Z.max (highest N (sums st) (fst (snd e))))
    (highest N (sums st) [])
    (PositiveMap.elements (early st)))%Z; [|lia].
  induction (PositiveMap.elements (early st)) as [|x l IH]; cbn [fold_right];
    [apply highest_pos|lia].
Qed.

Lemma bound_below a st net ann q c j : behind a 0 st -> length (units net) = n ->
  Statement.logits net = map num logits ->
  (forall k, (k < n)%nat -> described net ann k (V k)) ->
  (forall c j k, dual ann c j k = gap a c j k) ->
  (q < pixels net)%nat -> (c < j)%nat -> (j < N)%nat ->
  logit_bound net ann q c j <= real (finish N st).
Proof.
  intros Hb Hn Hl Hd Ha Hq Hc Hj. apply Rle_trans with (2 := finish_ok st q c j Hc Hj).
  unfold logit_bound. rewrite Hn. destruct (b_sums Hb c j Hc Hj) as [_ B1].
  destruct (b_early Hb q c j Hc Hj) as [_ B2]. assert (B3 := b_off Hb c j Hc Hj).
  rewrite !Rmult_plus_distr_r. apply Rplus_le_compat.
  - apply Rle_trans with (2 := Rplus_le_compat _ _ _ _ B1 B2). rewrite <- over_plus. apply over_le.
    intros k Hk. destruct (Hd k Hk) as [_ D2 D3 _]. specialize (D3 q Hq).
    rewrite Ha, <- Rmult_plus_distr_l. apply Rmult_le_compat_l; [apply Rabs_pos|].
    rewrite real_plus, real_scale. lra.
  - apply Rle_trans with (2 := B3). apply over_le. intros k Hk. cbn [Nat.leb].
    destruct (Hd k Hk) as [_ _ _ D4]. specialize (D4 q Hq).
    replace (defect n (core ann) (difference net c j) (dual ann c j) k) with (off_at a c j k).
    + apply Rmult_le_compat_l; [apply Rabs_pos|lra].
    + unfold defect, off_at. rewrite Ha. f_equal. f_equal.
      * unfold difference, chosen_at, logit. rewrite Hl. change 0%nat with (num 1).
        rewrite !map_nth. now rewrite (Nat.eqb_sym k), (Nat.eqb_sym k).
      * unfold passed, pulled_back.
        transitivity (over n (fun i =>
          core_at i k * dual_at a i c + - 1 * (core_at i k * dual_at a i j))).
        -- rewrite over_plus, over_scale. ring.
        -- apply over_ext. intros i Hi. rewrite Ha. unfold gap.
           destruct (Nat.ltb_spec k i) as [L|L].
           ++ rewrite (d_core _ _ _ _ (Hd i Hi)). unfold core_at. ring.
           ++ rewrite !(b_core Hb) by exact L. ring.
Qed.
End Pass.

Lemma last_key_ok l k : length l = S k -> last_key l = key k.
Proof.
  destruct l as [|v l]; [discriminate|]. intros [= <-]. unfold last_key. cbn [tl].
  assert (G : forall l p, fold_left (fun k (_ : visited) => Pos.succ k) l (key p) =
    key (p + length l)).
  { clear. induction l as [|v l IH]; intros p; cbn [fold_left length]; [now rewrite Nat.add_0_r|].
    change (Pos.succ (key p)) with (key (S p)). rewrite IH. f_equal. lia. }
  exact (G l 0%nat).
Qed.

(* map: dual vectors and the bound R, in one pass backwards *)
Theorem backward_ok logits l r : backward logits l = Some r ->
  exists d : nat -> nat -> nat -> R,                             (* classes c, j; unit k *)
  forall net ann, length (units net) = length l -> Statement.logits net = map num logits ->
    (forall k v, nth_error (rev l) k = Some v -> described net ann k v) ->
    (forall c j k, dual ann c j k = d c j k) ->
  forall q c j, (q < pixels net)%nat -> (c < length logits)%nat -> (j < length logits)%nat ->
    logit_bound net ann q c j <= real r.
Proof.
  unfold backward. cbv zeta. set (scale := fun j => _).
  destruct (steps _ _ _ _ _) as [st|] eqn:E; [|discriminate]. intros [= <-].
  set (V := fun k => nth k (rev l) {| v_op := CPixel 0; v_slope := 0; v_rho := 0; v_move := 0;
    v_rem := 0; v_early := [] |}).
  assert (HV : forall k v, nth_error (rev l) k = Some v -> V k = v)
    by (intros k v; apply nth_error_nth).
  destruct (steps_ok logits scale V (length l) l (last_key l) (fun _ _ => 0%Z) start st) as [a Hb];
    [lia|exact HV|apply last_key_ok|apply start_ok|exact E|].
  exists (gap scale a). intros net ann Hn Hl Hd Ha.
  assert (Hd' : forall k, (k < length l)%nat -> described net ann k (V k)).
  { intros k Hk. apply Hd. apply nth_error_nth'. now rewrite length_rev. }
  assert (G :=
    fun q c j => bound_below logits scale V (length l) a st net ann q c j Hb Hn Hl Hd' Ha).
  intros q c j Hq Hc Hj. destruct (Nat.lt_trichotomy c j) as [L|[->|L]].
  - now apply G.
  - rewrite bound_same; [apply finish_pos|]. intros k. rewrite Ha. unfold gap. ring.
  - rewrite bound_swapped; [now apply G|]. intros k. rewrite !Ha. unfold gap. ring.
Qed.
